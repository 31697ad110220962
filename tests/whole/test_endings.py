"""Every ending that a cell can have is a row with its reason, for real: launcher, fork server, workers, records."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.whole.line import HEAD, rows_of, run, survivors

Write = Callable[..., Path]

pytestmark = pytest.mark.whole


def test_every_ending_is_a_row_with_its_reason_and_the_matrix_goes_on(experiment_file: Write) -> None:
    file = experiment_file(
        HEAD
        + """
epochs = 1
precision = "fp32"
[matrix]
batch_size = [32, 64]
case = [
    {model = "tests.support.failing:Hungry", learning_rate = 0.01},
    {model = "tests.support.failing:Tiny",   learning_rate = 1e20},
    {model = "tests.support.failing:Hangs",  learning_rate = 0.01},
    {model = "tests.support.failing:Killed", learning_rate = 0.01},
    {model = "tests.support.failing:Raises", learning_rate = 0.01},
    {model = "tests.support.failing:Tiny",   learning_rate = 0.01},
]
[[include]]
batch_size = 32
model = "tests.support.failing:Tiny"
learning_rate = 0.01
precision = "tf32"
[[exclude]]
model = ["tests.support.failing:Hangs", "tests.support.failing:Killed", "tests.support.failing:Raises"]
batch_size = 64
because = "once is enough"
[budget]
minutes_per_cell = 3
memory_gib_per_cell = 6
"""
    )
    result = run(file)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = {
        (
            row["model"].removeprefix("tests.support.failing:"),
            row["batch_size"],
            row["learning_rate"],
            row["precision"],
        ): row
        for row in rows_of(file)
    }
    expected = {
        ("Hungry", 32, 0.01, "fp32"): ("oom", "out of memory at batch size 32: .*DefaultCPUAllocator"),
        ("Hungry", 64, 0.01, "fp32"): ("oom", "not tried: batch size 32 ran out of memory"),
        ("Tiny", 32, 1e20, "fp32"): ("diverged", "the loss is (nan|inf) at step [0-9]+"),
        ("Tiny", 64, 1e20, "fp32"): ("diverged", "the loss is (nan|inf) at step [0-9]+"),
        ("Hangs", 32, 0.01, "fp32"): ("timeout", "took longer than minutes_per_cell = 3"),
        ("Killed", 32, 0.01, "fp32"): ("crashed", "killed by SIGSEGV in phase warm-up; see log.txt"),
        ("Raises", 32, 0.01, "fp32"): ("failed", "KeyError: .*a bug of one's own"),
        ("Tiny", 32, 0.01, "tf32"): ("unsupported", "TF32 is a mode of NVIDIA GPUs"),
        ("Tiny", 32, 0.01, "fp32"): ("ok", "None"),
        ("Tiny", 64, 0.01, "fp32"): ("ok", "None"),
        ("Hangs", 64, 0.01, "fp32"): ("excluded", "once is enough"),
        ("Killed", 64, 0.01, "fp32"): ("excluded", "once is enough"),
        ("Raises", 64, 0.01, "fp32"): ("excluded", "once is enough"),
    }
    assert {key: row["status"] for key, row in rows.items()} == {key: status for key, (status, _) in expected.items()}
    for key, (_, because) in expected.items():
        assert re.search(because, str(rows[key]["because"])), (key, rows[key]["because"])
    diverged = rows["Tiny", 32, 1e20, "fp32"]
    assert diverged["test_accuracy"] == pytest.approx(0.1)
    fine = rows["Tiny", 32, 0.01, "fp32"]
    assert fine["images_per_s"] > 0
    assert fine["memory_instrument"] == "rss"
    assert fine["dtype_check"].count("float32") >= 1
    assert fine["threads_used"] == 1
    summary = (file.parent / "results" / "trial" / "summary.txt").read_text()
    for word in ("oom", "diverged", "timeout", "crashed", "failed", "unsupported", "excluded"):
        assert word in summary, summary
    assert "report.html" in result.stdout
    # Widening an axis runs the new cells only, and a finished matrix nothing.
    before = {path: path.stat().st_mtime_ns for path in file.parent.rglob("record.parquet")}
    assert not re.search(r"^ +1/\d", run(file).stdout, re.MULTILINE)
    file.write_text(file.read_text().replace("batch_size = [32, 64]", "batch_size = [32, 64, 128]", 1))
    wider = run(
        file, "--only", "batch_size=128", "--only", "model=tests.support.failing:Tiny", "--only", "learning_rate=0.01"
    )
    assert " 1/1 tests.support.failing:Tiny fp32 b128 s0" in wider.stdout, wider.stdout + wider.stderr
    after = {path: path.stat().st_mtime_ns for path in file.parent.rglob("record.parquet")}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    assert survivors(file) == []
