"""Runs on Weights & Biases. This module is run as a child process (bench/sinks/child.py).

wandb first writes each run offline, below the experiment's folder; then `wandb sync` uploads what was written. Online
from the start, `wandb.init` waits 100 s on a dead network, and a process that logged to a mute server never exits.
The key stays where wandb itself looks for it (WANDB_API_KEY, ~/.netrc); nothing here reads, passes or writes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from ampbench.bench.sinks.child import in_words
from ampbench.bench.sinks.sink import SINKS

SINK = SINKS["wandb"]

TRIES = 2
"""Runs that are tried one by one where none of all could be uploaded."""
SYNC_LIMIT_S = 3600
"""Ends a hanging upload whose parent was itself killed."""


def main(folder: Path, run_folders: Sequence[str]) -> str:
    """Be the child: write each run offline, upload them all; say on the way what is true so far, return the outcome."""
    if os.environ.get("WANDB_MODE") == "disabled":
        return "nothing logged: WANDB_MODE is disabled"
    os.environ["WANDB_DIR"] = str(folder)  # `wandb sync` leaves its logs there too, not in the working directory
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # offline is offline: no crash reports home
    try:
        from wandb import Settings, init  # not `import wandb`: any folder of that name would do for it
    except ImportError as error:
        return f"nothing logged: {in_words(error)}. Next: pip install wandb"

    # The record says what the machine was and which commit ran; wandb would look again, after the fact.
    quiet = Settings(console="off", disable_git=True, save_code=False, x_disable_stats=True, x_disable_meta=True,
                     x_disable_machine_info=True, x_save_requirements=False, silent=True)  # fmt: skip
    folders: list[Path] = []
    logged = upload = problem = server = ""
    for run_folder in run_folders:
        try:
            run = _log(folder, run_folder, init, quiet)
        except Exception as error:  # one unreadable run does not silence the others
            problem = problem or f" ({run_folder}: {in_words(error)})"
            continue
        folders.append(Path(run.settings.sync_dir))
        where, server = folders[-1].parent, run.settings.base_url
        logged = f"{len(folders)} of {len(run_folders)} runs logged in {where}"
        upload = f"Next: wandb sync {shlex.quote(str(where))}/offline-run-*"
        SINK.say(f"{logged}, then cut short. {upload}")
    if not folders:
        return f"nothing logged{problem}. Next: mend that, then run the experiment again with --wandb"

    logged += problem
    if (mode := os.environ.get("WANDB_MODE", "online")) in ("offline", "dryrun"):
        return f"{logged}, not synced: WANDB_MODE is {mode}. {upload}"
    SINK.say(f"{logged}, not synced: {server} left `wandb sync` without an answer. {upload}")
    last_words = _sync(folders)
    left = _unsynced(folders)
    for path in left if 0 < len(left) < len(folders) else left[:TRIES]:  # one that the server refuses stops no other
        last_words = _sync([path])
    num_synced = len(folders) - len(_unsynced(folders))
    if num_synced == len(folders):
        return f"{logged} and synced to {server}."
    return f"{logged}, {num_synced} synced to {server}: {last_words}. {upload}"


def _sync(folders: Sequence[Path]) -> str:
    """Upload runs; return the last words of `wandb sync`, which without a key refuses before it opens a connection."""
    command = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
    sync = subprocess.run(command, stdin=DEVNULL, capture_output=True, text=True, check=False, timeout=SYNC_LIMIT_S)
    return (sync.stderr.strip() or "no word").splitlines()[-1].rstrip(". ")


def _unsynced(folders: Sequence[Path]) -> list[Path]:
    """Return those without a mark: the exit status is 0 even when the server refused, the mark means an upload."""
    return [path for path in folders if not any(path.glob("*.wandb.synced"))]


def _log(folder: Path, run_folder: str, init: Any, settings: Any) -> Any:
    """Write one run offline: its cell, a row per epoch, its record as the summary. Return the finished wandb run."""
    from pyarrow.parquet import ParquetFile

    here = folder / "runs" / run_folder
    cell = json.loads((here / "cell.json").read_text())["cell"]
    [record] = ParquetFile(here / "record.parquet").read().to_pylist()
    rows = [row for path in here.glob("epochs.parquet") for row in ParquetFile(path).read().to_pylist()]  # if any
    summary = {key: value for key, value in record.items() if value is not None}
    summary = json.loads(json.dumps(summary, default=str))  # JSON has no time stamps
    project = os.environ.get("WANDB_PROJECT") or f"ampbench-{folder.name}"
    entity = os.environ.get("WANDB_ENTITY") or None
    run = init(mode="offline", dir=folder, project=project, entity=entity, name=record["study_name"],
               id=run_id(record), group=record["group_id"], config=cell, settings=settings)  # fmt: skip
    try:
        for row in rows:
            measured = {k: value for k, value in row.items() if k not in ("cell_id", "epoch") and value is not None}
            run.log(measured, step=row["epoch"])
        run.summary.update(summary)
    except Exception:  # else the next `init` would return this very run, and half of it would count as logged
        run.finish(exit_code=1)
        shutil.rmtree(run.settings.sync_dir, ignore_errors=True)
        raise
    run.finish(exit_code=int(record["status"] != "ok"))
    return run


def run_id(record: Mapping[str, Any]) -> str:
    """Return the id of a run on the server: one for a cell on a machine, so that no machine replaces another's."""
    machine = json.dumps([platform.node(), record.get("machine")])
    return f"{hashlib.sha256(machine.encode()).hexdigest()[:8]}-{record['cell_id']}"


if __name__ == "__main__":
    SINK.say(main(Path(sys.argv[1]), sys.argv[2:]))
