"""What the launcher's side costs at any size, with no worker: python -m tests.support.thousand_boards 1000 1000000.

Each line is one stage of a run of so many cells on so many boards: seconds of CPU, and the most memory so far. The
clock of the boards is virtual, so that days of measuring take minutes.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console

from ampbench.bench.launch.groups import groups_of
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.queue.group_queue import GroupQueue
from ampbench.bench.launch.queue.turns import makespan_s
from ampbench.bench.launch.shown.progress import Progress
from ampbench.bench.machine.board import Board
from ampbench.bench.plan import refusals
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.dry_run import outline
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.record import excluded_table
from ampbench.bench.store.run import Run
from ampbench.schema.files import RECORD, table_file
from tests.support.virtual_boards import Played, play

EXPERIMENT = """question = "How does precision pay on a cluster?"
[matrix]
seed = {seeds}
model = ["LeNet", "VGG19"]
batch_size = [32, 64, 128, 256, 512]
precision = ["fp32", "tf32", "fp16", "bf16", "fp16_amp", "fp16_amp_scaled", "bf16_amp", "fp16_scaled"]
[fixed]
data = "cifar10"
epochs = 1
"""
CELLS_A_SEED = 2 * 5 * 8
BOARDS_A_HOST = 8
MOST_ON_DISK = 10_000
"""Runs that are really made; of more, the time of a look at them is scaled."""

TRAINING = {"phase": "training", "epoch": 1, "loss": 1.25, "images_per_s": 12345.6, "share": 0.5, "learning_rate": 0.01}


def main(num_boards: int, num_cells: int) -> None:
    """Print a line a stage."""
    refusals.MOST_CELLS = 10**9
    boards = [
        Board(board_id=f"GPU-{i:06}", name="H100", host=f"node{i // BOARDS_A_HOST:03}") for i in range(num_boards)
    ]
    with tempfile.TemporaryDirectory() as place:
        path, text = Path(place) / "x.toml", EXPERIMENT.format(seeds=list(range(max(1, num_cells // CELLS_A_SEED))))
        experiment = said("the file is read", lambda: parse_experiment(path, text))
        plan = said("the plan is made", lambda: make_plan(experiment))
        folder = Folder.of(plan, Path(place))
        print(f"  {len(plan.cells):,} cells in {len(plan.groups):,} groups", flush=True)
        lines = said("--plan: the plan in words", lambda: sum(1 for _ in outline(plan, plan.cells, done=(), cell_s={})))
        print(f"  {lines:,} lines", flush=True)
        said("plan.json is written", lambda: folder.write_plan(plan, command="", git_commit=None, git_dirty=None))
        print(f"  {(folder.path / 'plan.json').stat().st_size / 2**20:,.0f} MiB", flush=True)
        said("plan.json is asked whose it is", folder.said_source)
        look_at_runs(folder, [folder.run_path(cell) for cell in plan.cells[:MOST_ON_DISK]], plan.cells)
        table = excluded_table([(cell, "made") for cell in plan.cells[:MOST_ON_DISK]])
        pq.write_table(table, folder.path / table_file("cells"))
        guard = said(f"what {table.num_rows:,} rows say of memory", lambda: OomGuard.knowing(folder, replaced=()))
        groups = said(
            "the runs are made", lambda: groups_of(plan, plan.cells, folder, boards[0], command="", again=False)
        )
        said("each is asked of memory", lambda: sum(guard.implies(run.cell) is not None for g in groups for run in g))
        queue = said("the queue is made", lambda: GroupQueue(groups, boards))
        played = said("all groups are dispatched", lambda: played_through(queue))
        took_s: Counter[str] = Counter()
        for spell in played.spells:
            took_s[spell.run.cell.group_id] += spell.end_s - spell.begin_s
        best_s = makespan_s([(seconds, 1) for seconds in sorted(took_s.values(), reverse=True)], num_boards)
        print(
            f"  {len(played.whole):,} runs; {played.end_s / best_s:.3f} times as long as the longest first", flush=True
        )
        said_by_progress(boards, [run for group in groups[:2000] for run in group])


def said(what: str, work: Callable[[], Any]) -> Any:
    """Do it, and print what it took."""
    begun_s = time.process_time()
    result = work()
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{time.process_time() - begun_s:>9.2f} s {mib:>7,.0f} MiB  {what}", file=sys.__stdout__, flush=True)
    return result


def played_through(queue: GroupQueue) -> Played:
    """Let the boards work; a run takes what its model takes, give or take a tenth."""
    rng, scale = random.Random(0), {"LeNet": 12.0, "VGG19": 60.0}
    return play(queue, lambda run: scale[run.cell.model] * rng.uniform(0.9, 1.1), ended=queue.learn)


def look_at_runs(folder: Folder, paths: list[Path], cells: Sequence[Cell]) -> None:
    """Make the runs of some cells, and look which of them are done."""

    def make() -> None:
        for path in paths:
            path.mkdir(parents=True)
            (path / RECORD).write_bytes(b"PAR1" + bytes(100) + b"PAR1")

    said(f"{len(paths):,} runs lie on the disk", make)
    said("  which are done?", lambda: folder.done(cells))


def said_by_progress(boards: list[Board], runs: list[Run]) -> None:
    """Tell the progress of many boards; print what a report, an end and a redraw take."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(file=nowhere, width=120, height=40, force_terminal=True)
        with Progress(console, num_cells=len(runs)) as progress:
            at_work = [replace(run, board=board) for run, board in zip(runs, boards, strict=False)]
            for run in at_work:
                progress.started(run)
            said(f"{len(at_work):,} reports are taken in", lambda: [progress.told(run, TRAINING) for run in at_work])

            def redraw() -> None:
                for _ in range(20):
                    progress._shown_s = 0.0
                    progress._refresh()

            said("20 redraws", redraw)
            said(f"{len(at_work):,} ends are shown", lambda: [progress.ended(run, {"status": "ok"}) for run in at_work])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
