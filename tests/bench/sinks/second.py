"""A second sink: its tracker writes lines of JSON. `python -m tests.bench.sinks.second FOLDER PROJECT RUN_FOLDER …`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ampbench.bench.sinks.entry import serve
from ampbench.bench.sinks.sink import Sink
from ampbench.bench.sinks.story import Point, Story

SECOND = Sink(title="Second", module="tests.bench.sinks.second", help="Write the runs down.", package="json")

MISBEHAVES = "TEST_SECOND"
"""Names the environment variable by which it misbehaves: at `start`, `open`, `log`, `end` or `exit`."""


class Second:
    """A tracker; a line of JSON a point."""

    def __init__(self, folder: Path, project: str, *, live: bool) -> None:
        self.folder, self.project, self.live = folder, project, live
        (folder / ("second.live" if live else "second.published")).write_text(str(os.getpid()))
        if live:
            misbehave("start")

    def open(self, story: Story) -> SecondRun:
        misbehave("open", story.cell.seed)
        return SecondRun(self.folder / "second" / story.run_folder, live=self.live)

    def next_move(self, where: Path) -> str:
        return f"Next: cat {where}/*"

    def before_sending(self, where: Path) -> str:
        return ", then cut short"

    def send(self, written: Sequence[Path]) -> str:
        return f" of {self.project or 'nobody'}"


class SecondRun:
    """A file."""

    def __init__(self, where: Path, *, live: bool) -> None:
        self.where, self.live = where, live
        self.where.parent.mkdir(exist_ok=True)
        self.where.write_text("")

    def log(self, point: Point) -> None:
        if self.live:
            misbehave("log")
        self._write([point.group, point.x, dict(point.values)])

    def end(self, record: Mapping[str, Any] | None) -> bool:
        if record and self.live:
            misbehave("end")
        self._write(["end", record and record["status"], {}])
        return False

    def _write(self, line: list[Any]) -> None:
        with self.where.open("a") as file:
            print(json.dumps(line), file=file)


def misbehave(when: str, seed: int = 0) -> None:
    """Raise, hang, stop or die, if that is wanted at this place: `open:raise`."""
    place, _, how = os.environ.get(MISBEHAVES, "").partition(":")
    if place != when or seed:
        return
    match how:
        case "raise":
            raise RuntimeError("it misbehaves")
        case "hang":
            time.sleep(1000)
        case "stop":
            os.kill(0, signal.SIGSTOP)
        case "die":
            os._exit(3)


if __name__ == "__main__":
    print("whatever a library prints")
    serve(SECOND, Second, sys.argv[1:])
    misbehave("exit")
    sys.exit("and a bad end")
