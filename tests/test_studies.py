"""The experiments of the studies: each says what to expect, and each has a shrunken twin that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.test_vit import save, their_weights

STUDIES = (
    "vgg19_amp",
    "resnet18_amp",
    "vit_ddp",
    "vit_scratch",
    "vit_finetune",
    "hybrid_batch_size",
    "auto_quick",
    "auto_accuracy",
    "throughput",
)


def test_every_study_says_what_to_expect_and_for_how_long_and_has_a_twin() -> None:
    for name in STUDIES:
        lines = (ROOT / "experiments" / f"{name}.toml").read_text().splitlines()
        said = " ".join(line for line in lines if line.startswith("#"))
        assert "Expected" in said or "Hoped for" in said, name
        assert "H200" in said, name
    twins = {path.stem for path in (ROOT / "experiments" / "smoke").glob("*.toml")}
    assert twins == {f"{name}_smoke" for name in STUDIES}


@pytest.mark.whole
@pytest.mark.parametrize("name", STUDIES)
def test_the_twin_of_every_study_runs(name: str, tmp_path: Path) -> None:
    (tmp_path / "tiny-vit").mkdir()
    save(tmp_path / "tiny-vit", their_weights(1000))
    file = f"experiments/smoke/{name}_smoke.toml"
    result = subprocess.run(
        [sys.executable, "bench/run_matrix.py", file, "--results", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert result.returncode == 0, result.stderr
    rows = pq.read_table(tmp_path / f"{name}_smoke" / "cells.parquet").to_pylist()
    for row in rows:
        expected = "unsupported" if row["precision"] == "tf32" and row["driver"] is None else "ok"
        assert row["status"] == expected, (row["model"], row["precision"], row["because"])
        assert row["images_per_s"] is not None or row["status"] != "ok"
    assert (tmp_path / f"{name}_smoke" / "report.html").exists()
