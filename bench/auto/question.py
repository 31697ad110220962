"""What is still undecided in a folder of results, asked of its judge."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.bench.auto.judge import Unanswered, asked
from ampbench.bench.launch.shown.printed_report import MISSING_MODULE
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import how_to_install
from ampbench.bench.store.folder import Folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """A recipe at a batch size of which a further round would tell something."""

    cells: frozenset[str]
    """Ids of its cells."""
    beside: frozenset[str]
    """Ids of the cells of the reference that it is compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """Where one subject stands."""

    name: str
    words: str
    """As in `bf16 1.8x as fast as fp32; open: tf32 1.02x [0.97, 1.07]`."""
    open: tuple[Open, ...]


def ask(folder: Folder, *, mixed: bool) -> tuple[Subject, ...]:
    """Return what is open of each subject.

    Args:
        folder: with joined tables.
        mixed: whether rows of several machines or versions may stand side by side.

    Raises:
        RequestError: the judge cannot be asked, or cannot compare these results.
    """
    try:
        said = asked("undecided", folder.path, *["--mixed"] * mixed)
    except Unanswered as e:
        raise RequestError(f"{_why(str(e))}; the finished cells are kept, and the same command goes on") from None
    return tuple(
        Subject(
            name=one["subject"],
            words=one["words"],
            open=tuple(Open(cells=frozenset(o["cells"]), beside=frozenset(o["beside"])) for o in one["open"]),
        )
        for one in said
    )


def _why(said: str) -> str:
    if absent := MISSING_MODULE.search(said):
        return f'rounds = "adaptive" asks for the verdicts after each round: {how_to_install([absent[1]])}'
    return f"the verdicts cannot be asked for: {said.splitlines()[-1]}"
