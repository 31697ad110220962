"""A Ray whose nodes are in this process: what they say is scripted, and they are lost when a test says so."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from ampbench.bench.launch.cluster.assignment import Assignment, Said
from ampbench.bench.launch.cluster.versions import Versions
from ampbench.bench.launch.ray.seats import Seat
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import Machine
from ampbench.bench.store.record import write_run
from ampbench.schema.traces import Traces
from tests.support.measuring import record_of

CPU = Machine(machine="a CPU", driver=None, torch="9.9", python="3.99", cpu="a CPU", num_cores=8)


class RayError(Exception):
    pass


class ActorUnschedulableError(RayError):
    pass


class RayTaskError(RayError):
    pass


def seat(host: str, board_id: str = "cpu", *, machine: Machine = CPU, name: str | None = None) -> Seat:
    """Return a seat of a node that is called as its machine."""
    return Seat(
        board=Board(board_id=board_id, name=name, host=host),
        machine=machine,
        versions=Versions.here(),
        node_id=host,
        num_cpus=1,
        num_gpus=1 if name else 0,
        environ={},
        gpus=None,
    )


Script = Callable[[Assignment, "PretendedRay", Callable[[], None]], list[list[Said] | Exception]]
"""What a node says of an assignment, in turns; an exception is its loss. The function finishes the run on a disk."""


def finishes(asked: Assignment, ray: PretendedRay, finish: Callable[[], None]) -> list[list[Said] | Exception]:
    """Start the cell, finish it, and say so."""
    finish()
    return [[*begins(asked), *ends(asked)]]


def begins(asked: Assignment) -> list[Said]:
    """Say that the cell began."""
    [run] = asked.runs
    return [Said(kind="started", cell_id=run.cell.cell_id, boards=run.boards)]


def ends(asked: Assignment, files: Mapping[str, bytes] | None = None) -> list[Said]:
    """Say that the cell ended."""
    [run] = asked.runs
    ended = Said(kind="ended", cell_id=run.cell.cell_id, boards=run.boards, facts={"status": "ok"}, files=files or {})
    return [ended, Said(kind="finished", facts={"is_whole": True})]


def is_lost(asked: Assignment, ray: PretendedRay, finish: Callable[[], None]) -> list[list[Said] | Exception]:
    """Begin, and lose the node."""
    ray.dead.add(asked.place)
    return [begins(asked), RayError("The actor died because its node has died.")]


@dataclass
class PretendedRay:
    """As the module `ray`, as far as a dispatch asks it."""

    scripts: dict[str, deque[Script]] = field(default_factory=dict)
    """Host -> what its next assignments come to; then they finish."""
    dead: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Host and cell of every assignment."""
    killed: int = 0
    exceptions: Any = field(
        default_factory=lambda: SimpleNamespace(
            RayError=RayError, RayTaskError=RayTaskError, ActorUnschedulableError=ActorUnschedulableError
        )
    )

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": host, "Alive": host not in self.dead} for host in ("n1", "n2", "n3")]

    def kill(self, relay: Any) -> None:
        self.killed += 1

    def wait(self, refs: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return refs[:1], refs[1:]

    def get(self, ref: Any) -> Any:
        said = ref.said.popleft()
        if isinstance(said, Exception):
            raise said
        return [pickle.dumps(one) for one in said]

    def relay_on(self, ray: Any, node_id: str, *_: Any, **__: Any) -> Any:
        """Replaces `seats.relay_on`."""
        relay = SimpleNamespace(said=deque())
        relay.ask = SimpleNamespace(remote=lambda request, token: self._ask(relay, node_id, pickle.loads(request)))
        relay.next = SimpleNamespace(remote=lambda: _Ref(relay.said))
        return relay

    def _ask(self, relay: Any, host: str, asked: Assignment) -> Any:
        [run] = asked.runs
        self.asked.append((host, str(run.cell)))
        if host in self.dead:
            relay.said.append(ActorUnschedulableError("the node does not exist any more"))
            return _Ref(relay.said)
        scripts = self.scripts.get(host)
        script = scripts.popleft() if scripts else finishes

        def finish() -> None:
            run.folder.mkdir(parents=True, exist_ok=True)
            write_run(run.folder, run.cell, record_of({"status": "ok", "images_per_s": 7.0}), Traces())

        relay.said.extend(script(asked, self, finish))
        return _Ref(relay.said)


class _Ref:
    """Where words will be."""

    def __init__(self, said: deque[Any]) -> None:
        self.said = said
