"""Runs on Weights & Biases. This module is run as a child process (bench/sinks/child.py).

While a run is at work it is logged online if a key is there and the server answers, so that its curves grow on the
server; otherwise offline, below the experiment's folder. A finished run without a whole copy is written offline after
the matrix, and `wandb sync` uploads it: online, `wandb.init` waits 100 s on a dead network, and a process that logged
to a mute server never exits. The key stays where wandb itself looks for it (WANDB_API_KEY, ~/.netrc); here it is only
seen to be there.
"""

from __future__ import annotations

import netrc
import os
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL
from typing import Any, Literal
from urllib.parse import urlsplit

from ampbench.bench.sinks.entry import serve
from ampbench.bench.sinks.sink import SINKS
from ampbench.bench.sinks.story import AXES, Point, Story
from ampbench.bench.sinks.tracker import Declined

SINK = SINKS["wandb"]

TRIES = 2
"""Runs that are tried one by one where none of all could be uploaded."""
SYNC_LIMIT_S = 3600
"""Ends a hanging upload whose parent was itself killed."""
ANSWER_S = 2.0
"""In which a server has to answer before a run is logged online."""
INIT_S = 15.0
"""For the start of a run online; after that it is begun again offline."""


class WandB:
    """wandb, loaded; a `Tracker`."""

    def __init__(self, folder: Path, project: str, *, live: bool) -> None:
        self.mode = os.environ.get("WANDB_MODE") or "online"
        if self.mode == "disabled":
            raise Declined("WANDB_MODE is disabled")
        os.environ["WANDB_DIR"] = str(folder)  # `wandb sync` leaves its logs there too, not in the working directory
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # offline is offline: no crash reports home
        from wandb import Settings, init, setup, teardown  # not `import wandb`: any folder of that name would do for it

        self.folder, self.live = folder, live
        self._init, self._settings, self._teardown = init, Settings, teardown
        self.project = project or os.environ.get("WANDB_PROJECT") or f"ampbench-{folder.name}"
        self.server = str(setup().settings.base_url)

    def open(self, story: Story) -> WandBRun:
        """Begin a run; folders of an earlier try, which `wandb sync` would send too, are deleted."""
        for path in self.folder.glob(f"wandb/*run-*-{story.run_id}"):
            shutil.rmtree(path, ignore_errors=True)
        if self.live and self.mode == "online" and has_key(self.server) and answers(self.server):
            try:
                return WandBRun(self._begin(story, "online"), is_online=True)
            except Exception:  # CommError, a refused key: the run goes on offline, and so do those after it
                self.live = False
                self._teardown()  # else wandb's own process says that the run's id is in use
        return WandBRun(self._begin(story, "offline"), is_online=False)

    def next_move(self, where: Path) -> str:
        """Return the command that uploads what was written."""
        return f"Next: wandb sync {shlex.quote(str(where))}/offline-run-*"

    def send(self, written: Sequence[Path]) -> str:
        """Upload runs that were written offline; say on the way what is true so far."""
        if self.mode in ("offline", "dryrun"):
            return f", not synced: WANDB_MODE is {self.mode}. {self.next_move(self.folder / 'wandb')}"
        if not written:
            return f" and synced to {self.server}."
        upload = self.next_move(written[-1].parent)
        last_words = sync(written)
        left = unsynced(written)
        for path in (
            left if 0 < len(left) < len(written) else left[:TRIES]
        ):  # one that the server refuses stops no other
            last_words = sync([path])
        num_synced = len(written) - len(unsynced(written))
        if num_synced == len(written):
            return f" and synced to {self.server}."
        return f", {num_synced} synced to {self.server}: {last_words}. {upload}"

    def before_sending(self, where: Path) -> str:
        """Return what is true if the server never answers."""
        if self.mode in ("offline", "dryrun"):
            return f", then cut short. {self.next_move(where)}"
        return f", not synced: {self.server} left `wandb sync` without an answer. {self.next_move(where)}"

    def _begin(self, story: Story, mode: Literal["online", "offline"]) -> Any:
        # The record says what the machine was and which commit ran; wandb would look again.
        quiet = self._settings(console="off", disable_git=True, save_code=False, x_disable_stats=True,
                               x_disable_meta=True, x_disable_machine_info=True, x_save_requirements=False,
                               silent=True, init_timeout=INIT_S)  # fmt: skip
        run = self._init(mode=mode, dir=self.folder, project=self.project,
                         entity=os.environ.get("WANDB_ENTITY") or None, name=story.cell.study_name, id=story.run_id,
                         group=story.cell.group_id, config=dict(story.settings), settings=quiet)  # fmt: skip
        for axis in dict.fromkeys(AXES.values()):
            run.define_metric(axis, hidden=True)
        for group, axis in AXES.items():
            run.define_metric(f"{group}/*", step_metric=axis)
        return run


class WandBRun:
    """A run of wandb; an `OpenRun`."""

    def __init__(self, run: Any, *, is_online: bool) -> None:
        self._run, self._is_online = run, is_online
        self.where = Path(run.settings.sync_dir)

    def log(self, point: Point) -> None:
        """Add a row; its curves are drawn over their own axis, since `live` and `epoch` are not in step."""
        self._run.log({AXES[point.group]: point.x} | {f"{point.group}/{k}": v for k, v in point.values.items()})

    def end(self, record: Mapping[str, Any] | None) -> bool:
        """Put the record into the summary, and finish; online this waits until the server has it all."""
        if record:
            self._run.summary.update(dict(record))
        self._run.finish(exit_code=int(record is None or record["status"] != "ok"))
        return self._is_online


def has_key(server: str) -> bool:
    """Whether a key for a server is where wandb looks for it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(urlsplit(server).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def answers(server: str) -> bool:
    """Whether a server answers in time, whatever it says."""
    try:
        with urllib.request.urlopen(server, timeout=ANSWER_S):
            return True
    except urllib.error.HTTPError:  # an answer
        return True
    except (OSError, ValueError):
        return False


def sync(folders: Sequence[Path]) -> str:
    """Upload runs; return the last words of `wandb sync`, which without a key refuses before it opens a connection."""
    command = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
    done = subprocess.run(command, stdin=DEVNULL, capture_output=True, text=True, check=False, timeout=SYNC_LIMIT_S)
    return (done.stderr.strip() or "no word").splitlines()[-1].rstrip(". ")


def unsynced(folders: Sequence[Path]) -> list[Path]:
    """Return those without a mark: the exit status is 0 even when the server refused, the mark means an upload."""
    return [path for path in folders if not any(path.glob("*.wandb.synced"))]


if __name__ == "__main__":
    serve(SINK, WandB, sys.argv[1:])
