"""What a process, a start and a table cost. Times of this machine, with its own floor beside them."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.record import write_run
from tests.conftest import ROOT
from tests.overhead.interleave import seconds
from tests.support.measuring import record_of, traces_of

Note = Callable[[str, str, float, float], None]

PRECISIONS = (
    '["fp32", "tf32", "fp16", "bf16", "fp16_scaled", "fp16_amp", "fp16_amp_scaled", "bf16_amp", "bf16_amp_scaled"]'
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "bench/run_matrix.py", *arguments]


def nothing() -> float:
    """Seconds that Python takes to do nothing."""
    return seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=True))


def thousand(tmp_path: Path) -> Path:
    path = tmp_path / "thousand.toml"
    path.write_text(
        f'question = "Q?"\n[matrix]\nseed = {list(range(112))}\nprecision = {PRECISIONS}\n'
        '[fixed]\nmodel = "LeNet"\ndata = "synthetic"\nbatch_size = 32\n'
    )
    return path


@pytest.mark.parametrize("what", ["--help", "--plan"])
def test_help_and_the_plan_of_a_thousand_cells(what: str, tmp_path: Path, note: Note) -> None:
    arguments = command("--help") if what == "--help" else command(str(thousand(tmp_path)), "--plan")
    runs, floors = [], []
    for _ in range(9):
        floors.append(nothing())
        runs.append(seconds(lambda: subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True)))
    name = "--help" if what == "--help" else "--plan of 1,008 cells"
    note(f"{name}, median of 9 (control: python doing nothing)", "<= 0.3 s", *map(statistics.median, (runs, floors)))


def test_from_the_start_to_the_first_images_per_second(tmp_path: Path, note: Note) -> None:
    path = tmp_path / "start.toml"
    path.write_text(
        'question = "Q?"\n[fixed]\nmodel = "LeNet"\ndata = "synthetic"\nbatch_size = 32\nprecision = "fp32"\n'
        "[measure]\nmax_timing_s = 1\n"
    )
    took = []
    for i in range(4):
        begun = time.perf_counter()
        results = str(tmp_path / f"results{i}")
        with subprocess.Popen(
            command(str(path), "--results", results), cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            next(line for line in process.stdout if "images/s" in line)
            took.append(time.perf_counter() - begun)
            process.communicate()
    torch = seconds(lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True))
    note("from the start to the first images/s, best of 3 warm (control: import torch)", "<= 5 s", min(took[1:]), torch)


def test_an_isolated_cell_costs_a_fork(tmp_path: Path, note: Note) -> None:
    path = tmp_path / "cells.toml"
    path.write_text(
        f'question = "Q?"\n[matrix]\nseed = {list(range(20))}\n[fixed]\nmodel = "LeNet"\ndata = "synthetic"\n'
        'batch_size = 128\nprecision = "fp32"\nepochs = 1\n'
    )
    subprocess.run(command(str(path), "--results", str(tmp_path)), cwd=ROOT, check=True, capture_output=True)
    rows = pq.read_table(tmp_path / "cells" / "cells.parquet").to_pylist()
    rows.sort(key=lambda row: row["order"])
    gaps = [(b["started_at"] - a["started_at"]).total_seconds() - a["cell_s"] for a, b in itertools.pairwise(rows)]
    gap_s = statistics.median(gaps)
    note("between two cells, median of 19 (control: python doing nothing)", "<= 0.15 s", gap_s, nothing())


def test_a_finished_matrix_of_a_thousand_cells_is_seen_to_be_finished(tmp_path: Path, note: Note) -> None:
    path = thousand(tmp_path)
    plan = make_plan(read_experiment(path))
    folder = Folder.of(plan, tmp_path)
    for cell in plan.cells:
        folder.run_path(cell).mkdir(parents=True)
        write_run(
            folder.run_path(cell),
            cell,
            record_of({"status": "unsupported", "because": "made for a test"}),
            traces_of({}),
        )
    again = command(str(path), "--results", str(tmp_path))
    subprocess.run(again, cwd=ROOT, check=True, capture_output=True)
    runs = [seconds(lambda: subprocess.run(again, cwd=ROOT, check=True, capture_output=True)) for _ in range(5)]
    note(
        "a re-run of 1,008 finished cells (control: python doing nothing)",
        "<= 1 s",
        statistics.median(runs),
        nothing(),
    )


def test_a_million_rows_load_as_fast_as_arrow_reads_them(tmp_path: Path, note: Note) -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, object] = {f"number_{i}": rng.random(1_000_000, dtype=np.float32) for i in range(9)}
    columns["loss"] = rng.random(1_000_000, dtype=np.float32)
    columns["step"] = np.arange(1_000_000)
    columns["cell_id"] = pa.array(np.repeat([f"{i:016x}" for i in range(100)], 10_000)).dictionary_encode()
    path = tmp_path / "steps.parquet"
    pq.write_table(pa.table(columns), path)
    from ampbench.visualize.read.files import read_table, to_frame

    runs, floors = [], []
    for _ in range(9):
        floors.append(seconds(lambda: pq.read_table(path)))
        runs.append(seconds(lambda: to_frame(read_table(tmp_path, "steps"))))
    note(
        "loading 1 M rows x 12 columns, median of 9 (control: pyarrow alone)",
        "<= 0.1 s",
        *map(statistics.median, (runs, floors)),
    )
