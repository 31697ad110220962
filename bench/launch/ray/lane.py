"""A team of boards at work on a group: the relay on their node, and the cell that it has now."""

from __future__ import annotations

import pickle
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ampbench.bench.launch.cluster.assignment import Assignment, Said
from ampbench.bench.launch.queue.places import Team
from ampbench.bench.launch.ray.code import Code
from ampbench.bench.launch.ray.seats import Seat, relay_on
from ampbench.bench.store.run import Run


@dataclass
class Lane:
    """Where a group runs, one cell after the other."""

    team: Team
    seat: Seat
    """Of its first board."""
    relay: Any
    runs: deque[Run] = field(default_factory=deque)
    """Of the group, those that wait for their turn."""
    run: Run | None = None
    """At work."""
    answer: Any = None
    """Where the relay's next words will be."""
    asked_s: float = 0.0
    """When the cell was handed over."""
    started_s: float | None = None
    """When it began."""
    recorded_before_ns: int | None = None
    """When the record that is to be replaced was written, if there is one."""
    is_waiting_told: bool = False
    """Whether a person knows that the node has no room for it yet."""

    @classmethod
    def open(cls, ray: Any, team: Team, seat: Seat, code: Code) -> Lane:
        """Start a relay, as soon as the cluster has the team's boards to spare."""
        size = len(team)
        relay = relay_on(
            ray,
            seat.node_id,
            code,
            seat.environ,
            num_cpus=seat.num_cpus * size,
            **({"num_gpus": seat.num_gpus * size} if seat.num_gpus else {}),
        )
        return cls(team=team, seat=seat, relay=relay)

    def begin(self, run: Run, assignment: Assignment, token: str) -> None:
        """Hand a cell over."""
        self.run, self.asked_s, self.started_s = run, time.monotonic(), None
        self.recorded_before_ns = run.recorded_ns
        self.answer = self.relay.ask.remote(pickle.dumps(assignment), token)

    def heard(self, ray: Any) -> list[Said]:
        """Return what the relay has said, and listen on.

        Raises:
            RayError: the relay, its engine or its node was lost.
        """
        said: list[Said] = [pickle.loads(one) for one in ray.get(self.answer)]
        self.answer = None if said[-1].kind == "finished" else self.relay.next.remote()
        return said

    @property
    def has_left_a_record(self) -> bool:
        """Whether the cell at work has its record, though nobody said so."""
        if self.run is None:
            return False
        recorded_ns = self.run.recorded_ns
        return recorded_ns is not None and not (self.run.again and recorded_ns == self.recorded_before_ns)

    @property
    def worked_s(self) -> float:
        """Seconds that the cell at work has held its boards."""
        return 0.0 if self.started_s is None else time.monotonic() - self.started_s

    def close(self, ray: Any) -> None:
        """Kill the relay, and so its engine and whatever that started."""
        with suppress(Exception):
            ray.kill(self.relay)
