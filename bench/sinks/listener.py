"""A sink's child while runs are at work: it logs what it is told, line by line on stdin, of one run at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ampbench.bench.sinks.story import Point, Story, epoch_point, numbers
from ampbench.bench.sinks.tracker import OpenRun, Tracker, log_whole


@dataclass
class Listener:
    """Logs runs as they are told. A run that breaks is left to `publish_finished`, and stops no other."""

    tracker: Tracker
    sink: str
    folder: Path
    run: OpenRun | None = None
    name: str = ""
    """Folder of the run that is at work, open or broken."""
    story: Story | None = None
    num_epochs: int = field(default=0)
    """Epochs that were logged of it."""

    def listen(self, lines: Iterable[bytes]) -> None:
        """Log until nothing follows; what is open then stays as far as it came, without a mark."""
        for line in lines:
            message = json.loads(line)
            try:
                self._take(message)
            except Exception:
                self._break_off()
        self._break_off()

    def _take(self, message: dict[str, Any]) -> None:
        if message["event"] == "started" or message["run"] != self.name:  # the start itself may have been dropped
            self._break_off()
            self.name, self.num_epochs = message["run"], 0
            self.story = Story.of(self.folder, self.name)
            self.run = self.tracker.open(self.story)
        if self.run is None or self.story is None:
            return
        match message["event"]:
            case "block":
                self.run.log(Point(group="live", x=message["step"], values=numbers(message["values"])))
            case "epoch":
                self.run.log(epoch_point(message["values"]))
                self.num_epochs = message["values"]["epoch"]
            case "ended":
                log_whole(self.run, self.story, self.sink, after_epoch=self.num_epochs)
                self.run, self.name = None, ""

    def _break_off(self) -> None:
        if self.run is not None:
            run, self.run = self.run, None
            with suppress(Exception):
                run.end(None)
