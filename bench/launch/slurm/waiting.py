"""A group on its way: its cells, which of them are done, and what its jobs have told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ampbench.bench.launch.slurm.report import Listener
from ampbench.bench.machine.board import Board
from ampbench.bench.store.run import Run


def is_done(run: Run, recorded_ns: Mapping[str, int | None]) -> bool:
    """Whether a run has the record that is asked for: one that is to be replaced is not it.

    Args:
        run: the run.
        recorded_ns: cell id -> when the record was written that is to be replaced.
    """
    now_ns = run.recorded_ns
    return now_ns is not None and not (run.again and now_ns == recorded_ns.get(run.cell.cell_id))


@dataclass
class Waiting:
    """A group that is not settled."""

    runs: tuple[Run, ...]
    recorded_ns: Mapping[str, int | None]
    """Cell id -> when its record was written that is to be replaced."""
    kinds: frozenset[str] = frozenset()
    """Environments of the rows that the group has already: its other cells run on one of the same; empty for any."""
    listener: Listener = field(default_factory=Listener)
    job_ids: set[str] = field(default_factory=set)
    """Jobs that this launcher has waited for: an older report is no news."""
    alive: set[str] = field(default_factory=set)
    """Those of them that were not over yet when this launcher saw or submitted them."""
    ended: set[str] = field(default_factory=set)
    """Cells whose end was told; on a network file system their records are seen a little later."""
    at_work: tuple[Board, ...] = ()
    """Those of the cell that was started last, as a person was told of them; empty once it has ended."""
    attempts: int = 0
    """Jobs that were lost one after the other, and nothing moved on."""
    avoided: dict[str, str] = field(default_factory=dict)
    """Nodes that could not run its cells, and why: its next job goes to others."""

    @classmethod
    def of(cls, runs: tuple[Run, ...], kinds: frozenset[str]) -> Waiting:
        """Return the group of these runs, before anything is done."""
        return cls(runs=runs, recorded_ns={run.cell.cell_id: run.recorded_ns for run in runs}, kinds=kinds)

    @property
    def group_id(self) -> str:
        """Of all its cells."""
        return self.runs[0].cell.group_id

    @property
    def gpus(self) -> int:
        """That each of its cells asks for."""
        return self.runs[0].cell.gpus

    @property
    def missing(self) -> tuple[Run, ...]:
        """The runs without the record that is asked for."""
        return tuple(
            run for run in self.runs if run.cell.cell_id not in self.ended and not is_done(run, self.recorded_ns)
        )


def arrays_of(ready: Sequence[Waiting], most: int) -> Iterator[Sequence[Waiting]]:
    """Yield the groups that are submitted together, and no more than an array may have jobs.

    They want as many GPUs, and keep off the same nodes.

    Args:
        ready: groups.
        most: jobs of an array.
    """
    for asked in dict.fromkeys((one.gpus, *one.avoided) for one in ready):
        part = [one for one in ready if (one.gpus, *one.avoided) == asked]
        yield from (part[i : i + most] for i in range(0, len(part), most))
