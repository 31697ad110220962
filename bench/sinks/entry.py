"""How the child of a sink begins: it listens to runs at work, or logs finished runs and says what became of them."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ampbench.bench.sinks.child import in_words
from ampbench.bench.sinks.listener import Listener
from ampbench.bench.sinks.logged import Mark
from ampbench.bench.sinks.sink import LIVE, Sink
from ampbench.bench.sinks.story import Story
from ampbench.bench.sinks.tracker import Declined, MakeTracker, Tracker, log_whole

LINGER_S = 60.0
"""After its launcher has hung up: then a child that listened is ended, also one that hangs."""


def serve(sink: Sink, make: MakeTracker, arguments: Sequence[str]) -> None:
    """Be the child: `FOLDER PROJECT --live`, or `FOLDER PROJECT RUN_FOLDER ...`."""
    folder, project, *runs = arguments
    if runs == [LIVE]:
        _yield_to_measurements()
        threading.Thread(target=_end_after_launcher, daemon=True).start()
        Listener(make(Path(folder), project, live=True), sink.name, Path(folder)).listen(sys.stdin.buffer)
    else:
        sink.say(publish(sink, make, Path(folder), project, runs))


def publish(sink: Sink, make: MakeTracker, folder: Path, project: str, run_folders: Sequence[str]) -> str:
    """Log the runs that are not logged yet and send them; say on the way what is true so far, return the outcome."""
    try:
        tracker = make(folder, project, live=False)
    except ImportError as error:
        return f"nothing logged: {in_words(error)}. Next: pip install {sink.package}"
    except Declined as error:
        return f"nothing logged: {error}"
    marks: list[Mark] = []
    logged = problem = ""
    for run_folder in run_folders:
        try:
            marks.append(Mark.read(folder, sink.name, run_folder) or _log(tracker, sink, folder, run_folder))
        except Exception as error:  # one unreadable run does not silence the others
            problem = problem or f" ({run_folder}: {in_words(error)})"
            continue
        where = _place(folder, marks)
        logged = f"{len(marks)} of {len(run_folders)} runs logged in {where}"
        sink.say(f"{logged}, then cut short. {tracker.next_move(where)}")
    if not marks:
        return f"nothing logged{problem}. Next: mend that, then run the experiment again with --{sink.name}"
    sink.say(f"{logged}{problem}{tracker.before_sending(_place(folder, marks))}")
    return f"{logged}{problem}{tracker.send([folder / mark.where for mark in marks if not mark.sent])}"


def _log(tracker: Tracker, sink: Sink, folder: Path, run_folder: str) -> Mark:
    story = Story.of(folder, run_folder)
    run = tracker.open(story)
    try:
        return log_whole(run, story, sink.name)
    except Exception:  # else half of a run would be sent with the others
        with suppress(Exception):
            run.end(None)
        shutil.rmtree(run.where, ignore_errors=True)
        raise


def _place(folder: Path, marks: Sequence[Mark]) -> Path:
    """Return the folder that a sink writes all runs below."""
    return folder / Path(marks[-1].where).parts[0]


def _yield_to_measurements() -> None:
    """Take only what time a measurement leaves: of the processors, and of the disk."""
    os.nice(19)
    with suppress(AttributeError, OSError):  # not Linux, or a sandbox without the call
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _end_after_launcher() -> None:
    """Wait for the end of the pipe, however the launcher ended, and soon after that end this process, busy or not."""
    pipe = select.poll()
    pipe.register(sys.stdin.fileno(), 0)  # a hang-up is told unasked
    pipe.poll()
    time.sleep(LINGER_S)
    os.killpg(0, signal.SIGKILL)
