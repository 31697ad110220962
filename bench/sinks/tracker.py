"""What a library of a sink is to us: runs that are opened, get points, and end. Its files fulfil it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ampbench.bench.sinks.logged import Mark, digest
from ampbench.bench.sinks.story import Point, Story


class Declined(Exception):
    """Nothing is to be logged; the message says why."""


class OpenRun(Protocol):
    """A run that is being logged."""

    @property
    def where(self) -> Path:
        """What is written of it on this machine."""

    def log(self, point: Point) -> None:
        """Add numbers to its curves."""

    def end(self, record: Mapping[str, Any] | None) -> bool:
        """Close it with the numbers of its record, or without if it was broken off; return whether a server has it."""


class Tracker(Protocol):
    """A library, loaded."""

    def open(self, story: Story) -> OpenRun:
        """Begin the run of a story, without settings of its own; what an earlier try has left of it is deleted."""

    def next_move(self, where: Path) -> str:
        """Return what a person can do with what was written, as a sentence; `where` holds all runs."""

    def before_sending(self, where: Path) -> str:
        """Return what `send` would if it were cut short."""

    def send(self, written: Sequence[Path]) -> str:
        """Send runs to a server, if this sink has one; return what goes on `2 of 2 runs logged in DIR`."""


class MakeTracker(Protocol):
    """A class of trackers."""

    def __call__(self, folder: Path, project: str, *, live: bool) -> Tracker:
        """Load the library.

        Args:
            folder: of the experiment's results.
            project: on the server; empty: what the environment says, or a name from the folder's.
            live: whether runs are logged while they are at work.

        Raises:
            ImportError: the library is missing.
            Declined: it was told to log nothing.
        """


def log_whole(run: OpenRun, story: Story, sink: str, *, after_epoch: int = 0) -> Mark:
    """Log what a finished run has left, end it and keep a mark.

    Raises:
        Exception: whatever a file or the library is not able to do; the run is still open then.
    """
    record, of = story.record(), digest(story.folder, story.run_folder)
    for point in story.points(after_epoch=after_epoch):
        run.log(point)
    sent = run.end(record)
    mark = Mark(record=of, where=str(run.where.relative_to(story.folder)), sent=sent)
    mark.write(story.folder, sink, story.run_folder)
    return mark
