"""Runs on SwanLab. This module is run as a child process (bench/sinks/child.py).

Runs are written offline, below the experiment's folder, and `swanlab sync` uploads them; nothing waits for a server.
SWANLAB_MODE=online (or cloud) logs runs that are at work to the server, with the key that `swanlab login` keeps; a
server that does not answer then costs the live curves alone (bench/sinks/feed.py).
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ampbench.bench.sinks.entry import serve
from ampbench.bench.sinks.sink import SINKS
from ampbench.bench.sinks.story import Point, Story, numbers
from ampbench.bench.sinks.tracker import Declined

SINK = SINKS["swanlab"]

PLACE = "swanlog"
"""In an experiment's folder; SwanLab's own word for it."""


class SwanLab:
    """SwanLab, loaded; a `Tracker`."""

    def __init__(self, folder: Path, project: str, *, live: bool) -> None:
        wanted = os.environ.get("SWANLAB_MODE") or "offline"
        if wanted == "disabled":
            raise Declined("SWANLAB_MODE is disabled")
        self.mode = "online" if live and wanted in ("online", "cloud") else "offline"
        from swanlab import Settings, init

        self.folder, self._init = folder, init
        self.project = project or os.environ.get("SWANLAB_PROJECT") or f"ampbench-{folder.name}"
        # The record says what the machine was; SwanLab would look again, and go on looking.
        probe = Settings.Probe(hardware=False, requirements=False, git=False, monitor=False)
        self._quiet = Settings(interactive=False, probe=probe, terminal=Settings.Terminal(proxy_type="none"))

    def open(self, story: Story) -> SwanLabRun:
        """Begin a run; folders of an earlier try, which `swanlab sync` would send too, are deleted."""
        run_id = story.run_id.replace("-", "_")  # the only other sign that an id may have
        for path in self.folder.glob(f"{PLACE}/run-*-{run_id}"):
            shutil.rmtree(path, ignore_errors=True)
        run = self._init(mode=self.mode, log_dir=str(self.folder / PLACE), project=self.project, reinit=True,
                         name=story.cell.study_name, group=story.cell.group_id, id=run_id,
                         resume="allow" if self.mode == "online" else None, config=dict(story.settings),
                         settings=self._quiet)  # fmt: skip
        return SwanLabRun(run, is_online=self.mode == "online")

    def next_move(self, where: Path) -> str:
        """Return the command that uploads what was written."""
        return f"Next: swanlab sync {shlex.quote(str(where))}/run-*"

    def before_sending(self, where: Path) -> str:
        """Return what is true if `send` never ends."""
        return f", then cut short. {self.next_move(where)}"

    def send(self, written: Sequence[Path]) -> str:
        """Leave it to the user: no way was found to bound the time that an upload takes on a bad network."""
        if not written:
            return " and on the server."
        return f", offline. {self.next_move(written[-1].parent)}"


class SwanLabRun:
    """A run of SwanLab; an `OpenRun`."""

    def __init__(self, run: Any, *, is_online: bool) -> None:
        self._run, self._is_online = run, is_online
        self.where = Path(run.dir)

    def log(self, point: Point) -> None:
        """Add numbers to the curves; each curve counts steps of its own."""
        if point.values:
            self._run.log({f"{point.group}/{name}": value for name, value in point.values.items()}, step=point.x)

    def end(self, record: Mapping[str, Any] | None) -> bool:
        """Log the numbers of the record, since SwanLab has no summary; put its words into the settings; finish."""
        said = record or {"status": "crashed", "because": "broken off"}
        is_ok = said["status"] == "ok"
        if record:
            self.log(Point(group="record", x=0, values=numbers(record)))
            words = {name: value for name, value in record.items() if isinstance(value, str)}
            self._run.config.update({"record": words})
        because = None if is_ok else f"{said['status']}: {said.get('because')}"
        self._run.finish(state="success" if is_ok else "crashed", error=because)
        return self._is_online


if __name__ == "__main__":
    serve(SINK, SwanLab, sys.argv[1:])
