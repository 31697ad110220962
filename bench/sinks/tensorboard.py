"""Runs as TensorBoard's event files, by its own writer: no torch is loaded. Run as a child (bench/sinks/child.py)."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ampbench.bench.sinks.entry import serve
from ampbench.bench.sinks.sink import SINKS
from ampbench.bench.sinks.story import Point, Story, numbers

SINK = SINKS["tensorboard"]

PLACE = "tensorboard"
"""In an experiment's folder: PLACE/GROUP_ID/STUDY_NAME-CELL_ID."""

FLUSH_S = 5
"""Most seconds that a point waits for its way to the disk while a run is at work."""


class TensorBoard:
    """TensorBoard's writer, loaded; a `Tracker`. It has no projects and no server."""

    def __init__(self, folder: Path, project: str, *, live: bool) -> None:  # noqa: ARG002  # as every tracker
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.plugins.text.metadata import create_summary_metadata
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.folder = folder
        self.event, self.summary, self.tensor, self.writer = Event, Summary, TensorProto, EventFileWriter
        self.hparams, self.text_metadata = hparams_pb, create_summary_metadata

    def open(self, story: Story) -> TensorBoardRun:
        """Begin a run in a folder of its own; the files of an earlier try, which would be drawn too, are deleted."""
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{story.cell.study_name}-{story.cell.cell_id}")
        where = self.folder / PLACE / story.cell.group_id / name
        shutil.rmtree(where, ignore_errors=True)
        return TensorBoardRun(self, where, story.settings)

    def next_move(self, where: Path) -> str:
        """Return the command that shows what was written."""
        return f"Next: tensorboard --logdir {shlex.quote(str(where))}"

    def text(self, tag: str, values: Mapping[str, Any]) -> Any:
        """Return values as a summary that TensorBoard draws as a table; its own function for this needs TensorFlow."""
        rows = [f"| {name} | {str(value).replace('|', chr(92) + '|')} |" for name, value in values.items()]
        table = "\n".join(["| | |", "|---|---|", *rows])
        tensor = self.tensor(dtype="DT_STRING", string_val=[table.encode()])
        metadata = self.text_metadata(display_name=tag, description="")
        return self.summary(value=[self.summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)])

    def before_sending(self, where: Path) -> str:
        """Return what is true if `send` never ends."""
        return f". {self.next_move(where)}"

    def send(self, written: Sequence[Path]) -> str:  # noqa: ARG002
        """Say how to see it; there is no server."""
        return f". {self.next_move(self.folder / PLACE)}"


class TensorBoardRun:
    """A folder of event files; an `OpenRun`."""

    def __init__(self, library: TensorBoard, where: Path, settings: Mapping[str, Any]) -> None:
        self._library, self.where = library, where
        self._writer = library.writer(str(where), flush_secs=FLUSH_S)
        plain = {k: v if isinstance(v, bool | int | float | str) else json.dumps(v) for k, v in settings.items()}
        self._add(library.hparams(plain, trial_id=where.name))
        self._add(library.text("settings", settings))

    def log(self, point: Point) -> None:
        """Add numbers to the curves, each over steps of its own."""
        values = [
            self._library.summary.Value(tag=f"{point.group}/{name}", simple_value=value)
            for name, value in point.values.items()
        ]
        self._add(self._library.summary(value=values), point.x)

    def end(self, record: Mapping[str, Any] | None) -> bool:
        """Add the record: its numbers as points of `record/`, all of it as a text."""
        if record:
            self.log(Point(group="record", x=0, values=numbers(record)))
            self._add(self._library.text("record", record))
        self._writer.close()
        return True

    def _add(self, summary: Any, step: int = 0) -> None:
        plain = self._library.summary.FromString(summary.SerializeToString())
        self._writer.add_event(self._library.event(wall_time=time.time(), step=step, summary=plain))


if __name__ == "__main__":
    serve(SINK, TensorBoard, sys.argv[1:])
