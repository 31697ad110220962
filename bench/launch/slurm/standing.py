"""How far the jobs are, in lines for a person: a line when their counts change, and what has to be known of one."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console

from ampbench.bench.launch.shown.progress import PLAIN
from ampbench.bench.launch.slurm.ledger import Array
from ampbench.bench.launch.slurm.states import State

JOB = re.compile(r"\bjob [0-9_]+|\bsee /.*|/job[0-9]+/")
"""What differs from job to job in lines that say the same."""

DEAF_EVERY_S = 300.0
"""Between two lines that say that Slurm does not answer."""


def how_to_go_on(job_id: str, state: State) -> str:
    """Say what a person may do about a job that waits for a person."""
    if state.reason.startswith("JobHeld"):
        return f"to let one go on: scontrol release {job_id}"
    return f"scontrol show job {job_id} says more, and scancel {job_id.partition('_')[0]} ends them"


@dataclass
class Standing:
    """Prints to the console of a sweep."""

    console: Console
    log_every_s: float
    _shown: str = ""
    _shown_s: float = 0.0
    _deaf_s: float | None = None
    _stuck: set[str] = field(default_factory=set)
    _said: set[str] = field(default_factory=set)

    def say(self, line: str) -> None:
        """Print a line."""
        self.console.print(line, **PLAIN)

    def say_once(self, line: str) -> None:
        """Print a line that no job has given cause for yet, whatever its number is."""
        key = JOB.sub("", line)
        if key not in self._said:
            self._said.add(key)
            self.say(line)

    def submitted(self, array: Array) -> None:
        """Say which jobs were submitted."""
        if array.cluster == "local":
            return
        num = len(array.jobs)
        ids = f"{array.array_id}_[0-{num - 1}]" if num > 1 else array.array_id
        self.say(f"Submitted {num} {'jobs' if num > 1 else 'job'}, {ids}, as {array.name}")

    def show(self, states: Mapping[str, State]) -> None:
        """Print how many jobs wait and work, if that has changed and the last such line is old enough.

        Args:
            states: job id -> state, of those that are known.
        """
        for job_id, state in states.items():
            if state.is_stuck and state.reason not in self._stuck:
                self._stuck.add(state.reason)
                self.say(f"Slurm lets jobs wait: {state.reason}; {how_to_go_on(job_id, state)}")
        known = list(states.values())
        if known:
            self._deaf_s = None
        queued = sum(state.is_queued for state in known)
        nodes = Counter(state.node for state in known if not state.is_queued and not state.is_over)
        on = f" on {', '.join(sorted(filter(None, nodes))[:8])}" if any(nodes) else ""
        text = f"{queued} queued, {nodes.total()} running{on}"
        now_s = time.monotonic()
        if known and text != self._shown and now_s - self._shown_s >= (self.log_every_s if self._shown else 0):
            self._shown, self._shown_s = text, now_s
            self.say(f"Jobs: {text}")

    def deaf(self, because: str) -> None:
        """Say, now and then, that Slurm does not answer; its jobs go on without that."""
        now_s = time.monotonic()
        if self._deaf_s is None or now_s - self._deaf_s >= DEAF_EVERY_S:
            self._deaf_s = now_s
            self.say(f"{because}; jobs go on, asking again")
