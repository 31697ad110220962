"""What sinks hear while runs are at work: a watcher that hands on what workers report anyway.

Each sink has a child for each board, because a board works on one run at a time and the libraries like no more. The
launcher only forwards; children compute, at the lowest priority, and may hang or die. What they miss is logged from
the runs' Parquet after the last measurement (bench/sinks/publish.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ampbench.bench.sinks.feed import Feed
from ampbench.bench.sinks.sink import LIVE, SINKS

if TYPE_CHECKING:
    from ampbench.bench.store.run import Run

EVERY_S = 2.0
"""Between two points of a run. Workers report each block, which is up to five a second."""

CLOSE_S = 20.0
"""For all children together, after the last measurement, to log what they have been told."""

CLOSE_AT_ONCE_S = 2.0
"""Likewise, when a person interrupted."""

MOST_BOARDS = 16
"""That are followed live: each takes a process of its own for each sink, beside the launcher. The runs of the others
are logged whole at the end."""

POINT = ("loss", "learning_rate", "images_per_s", "memory_bytes")
"""What is told of a block of steps."""


@dataclass
class Live:
    """Context of the children of the sinks; a `Watcher` of a launcher. Its calls never wait."""

    folder: Path
    """Of the experiment's results."""
    names: Sequence[str]
    """Of sinks, keys of `SINKS`."""
    project: str = ""
    feeds: dict[tuple[str, str], Feed] = field(default_factory=dict)
    """Sink and board, by `Board.site` -> the child."""
    told_s: dict[str, float] = field(default_factory=dict)
    """Run -> when its last point was handed on."""
    unfollowed: set[str] = field(default_factory=set)
    """Boards beyond `MOST_BOARDS`."""

    def __post_init__(self) -> None:
        self.names = [name for name in self.names if SINKS[name].absent is None]

    def start(self, boards: Iterable[str]) -> None:
        """Start the children of these boards early, so that libraries are loaded before the first measurement."""
        for board in boards:
            self._feeds(board)

    def __enter__(self) -> Live:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        until_s = time.monotonic() + (CLOSE_S if kind is None else CLOSE_AT_ONCE_S)
        for feed in self.feeds.values():
            feed.end()
        try:
            for feed in self.feeds.values():
                feed.close(until_s=until_s)
        finally:  # a second Ctrl-C
            for feed in self.feeds.values():
                feed.close(until_s=0.0)

    def complaints(self) -> Iterator[str]:
        """Yield a line for each sink that did not take all it was told."""
        for name in self.names:
            dropped = sum(feed.num_dropped for (sink, _), feed in self.feeds.items() if sink == name)
            if dropped:
                what = f"its child did not keep up, {dropped:,} live points were dropped"
                yield f"{SINKS[name].mark}{what}; finished runs are logged whole"
        if self.names and self.unfollowed:
            followed = f"{MOST_BOARDS} of {MOST_BOARDS + len(self.unfollowed)} boards were followed live"
            yield f"{followed}; finished runs of the others are logged whole"

    def started(self, run: Run) -> None:
        """Hand on that a run begins, or goes on."""
        self.told_s.pop(run.folder.name, None)
        self._send(run, event="started")

    def told(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Hand on a finished epoch, or the block that was timed last if the run's last point is old enough."""
        if "epoch_row" in facts:
            self._send(run, event="epoch", values=facts["epoch_row"])
        if facts.get("step") is None or facts.get("images_per_s") is None:
            return
        now_s = time.monotonic()
        if now_s - self.told_s.get(run.folder.name, -EVERY_S) >= EVERY_S:
            self.told_s[run.folder.name] = now_s
            values = {name: facts[name] for name in POINT if facts.get(name) is not None}
            self._send(run, event="block", step=facts["step"], values=values)

    def ended(self, run: Run, facts: Mapping[str, Any]) -> None:  # noqa: ARG002  # a Watcher is told them
        """Hand on that a run has its record."""
        self.told_s.pop(run.folder.name, None)
        self._send(run, event="ended")

    def _send(self, run: Run, **message: Any) -> None:
        for feed in self._feeds(run.board.site):
            feed.send(run=run.folder.name, **message)

    def _feeds(self, board: str) -> list[Feed]:
        """Return the children of a board, one a sink; start those that there are not yet."""
        if self.names and (self.names[0], board) not in self.feeds:
            if len(self.feeds) >= MOST_BOARDS * len(self.names):
                self.unfollowed.add(board)
                return []
            arguments = [str(self.folder.absolute()), self.project, LIVE]
            for name in self.names:
                self.feeds[name, board] = Feed(SINKS[name].module, arguments)
        return [self.feeds[name, board] for name in self.names]
