"""Show a finished matrix on Weights & Biases, from a process that may hang without harm.

wandb first writes each run offline, below the experiment's folder; then `wandb sync` uploads what was written. Online
from the start, `wandb.init` waits 100 s on a dead network, and a process that logged to a mute server never exits.

`publish` starts this module as a child and kills it when the time is up. After each stage the child prints the worst
that is true so far, as one whole line: whatever ends the child, the last line that arrived is the answer.
The key stays where wandb itself looks for it (WANDB_API_KEY, ~/.netrc); nothing here reads, passes or writes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from ampbench.path import ROOT

SPEAKER = "W&B: "
"""Begins each line for the user; whatever else wandb lets slip into stdout is not one."""
TRIES = 2
"""Runs that are tried one by one where none of all could be uploaded."""
SYNC_LIMIT_S = 3600
"""Ends a hanging upload whose `publish` was itself killed."""


def publish(folder: Path, run_folders: Sequence[str], *, timeout_s: float) -> str:
    """Log the runs `folder`/runs/`run_folders` and upload them; return one line for the user.

    The line says what was logged where and whether it was uploaded, or why not and the next move. Raises nothing but
    KeyboardInterrupt, returns within `timeout_s` and about a second, and leaves no process behind.
    """
    if not run_folders:
        return f"{SPEAKER}every finished run is logged already"
    command = [sys.executable, "-m", "ampbench.bench.sinks.wandb", str(folder.absolute()), *run_folders]
    by_hand = f"cd {ROOT} && python {shlex.join([*command[1:4], run_folders[0]])}"
    status: int | None = None
    try:
        with tempfile.TemporaryFile() as said:  # not a pipe, whose end depends on who else inherited it
            child = subprocess.Popen(
                command, cwd=ROOT, stdin=DEVNULL, stdout=said, stderr=DEVNULL, start_new_session=True
            )
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    status = child.wait(timeout_s)
            finally:  # Ctrl-C too
                _kill(child)
            said.seek(0)
            lines = [line for line in said.read().decode(errors="replace").splitlines() if line.startswith(SPEAKER)]
    except Exception as error:  # a listener never costs the matrix its result, whatever befalls it
        return f"{SPEAKER}nothing logged: {_in_words(error)}. Next: {by_hand}"
    if lines:
        return lines[-1].replace(f"{Path.cwd()}/", "")
    because = f"it took over {timeout_s:g} s" if status is None else f"the child ended with status {status}"
    return f"{SPEAKER}nothing logged: {because}. Next, to see why: {by_hand}"


def is_logged(folder: Path, cell_id: str) -> bool:
    """Whether a run was written offline before, uploaded or not, from this machine or another."""
    return any((folder / "wandb").glob(f"offline-run-*-{cell_id}"))


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's group and all that descends from it: wandb-core runs in a session of its own."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended since
            parents[int(stat.parent.name)] = int(stat.read_bytes().rpartition(b")")[2].split()[1])
    tree = [child.pid]
    for parent in tree:  # grows as it is read
        tree += [pid for pid in parents if parents[pid] == parent]
    for kill, pid in [(os.killpg, child.pid), *((os.kill, pid) for pid in tree[1:])]:
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    child.wait()


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": .")


def _say(outcome: str) -> None:
    print(f"{SPEAKER}{outcome}", flush=True)


def main(folder: Path, run_folders: Sequence[str]) -> str:
    """Be the child: write each run offline, upload them all; say on the way what is true so far, return the outcome."""
    if os.environ.get("WANDB_MODE") == "disabled":
        return "nothing logged: WANDB_MODE is disabled"
    os.environ["WANDB_DIR"] = str(folder)  # `wandb sync` leaves its logs there too, not in the working directory
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # offline is offline: no crash reports home
    try:
        from wandb import Settings, init  # not `import wandb`: any folder of that name would do for it
    except ImportError as error:
        return f"nothing logged: {_in_words(error)}. Next: pip install wandb"

    # The record says what the machine was and which commit ran; wandb would look again, after the fact.
    quiet = Settings(console="off", disable_git=True, save_code=False, x_disable_stats=True, x_disable_meta=True,
                     x_disable_machine_info=True, x_save_requirements=False, silent=True)  # fmt: skip
    folders: list[Path] = []
    logged = upload = problem = server = ""
    for run_folder in run_folders:
        try:
            run = _log(folder, run_folder, init, quiet)
        except Exception as error:  # one unreadable run does not silence the others
            problem = problem or f" ({run_folder}: {_in_words(error)})"
            continue
        folders.append(Path(run.settings.sync_dir))
        where, server = folders[-1].parent, run.settings.base_url
        logged = f"{len(folders)} of {len(run_folders)} runs logged in {where}"
        upload = f"Next: wandb sync {shlex.quote(str(where))}/offline-run-*"
        _say(f"{logged}, then cut short. {upload}")
    if not folders:
        return f"nothing logged{problem}. Next: mend that, then run the experiment again with --wandb"

    logged += problem
    if (mode := os.environ.get("WANDB_MODE", "online")) in ("offline", "dryrun"):
        return f"{logged}, not synced: WANDB_MODE is {mode}. {upload}"
    _say(f"{logged}, not synced: {server} left `wandb sync` without an answer. {upload}")
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
    _say(main(Path(sys.argv[1]), sys.argv[2:]))
