"""The experiments of the studies: each says what to expect, and each has a shrunken twin that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer

from ampbench.bench import run_matrix, run_one
from ampbench.bench.plan.augmentation import LEVELS
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.models.tiny_vit import save, tiny_vit
from tests.conftest import ROOT

STUDIES = (
    "vgg19_amp",
    "resnet18_amp",
    "vit_ddp",
    "vit_ddp_base",
    "vit_scratch",
    "vit_finetune",
    "hybrid",
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


def fields_of(name: str) -> dict[str, Any]:
    """Return the one cell's fields that do not vary."""
    plan = make_plan(read_experiment(ROOT / "experiments" / f"{name}.toml"))
    first = plan.cells[0].settings
    return {key: value for key, value in first.items() if all(cell.settings[key] == value for cell in plan.cells)}


def test_the_vits_of_study_s1_train_as_the_study_did(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Adam 1e-5, weight decay 1e-3, a constant rate, batch 32 a GPU, test batch 512."""
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tiny_vit(), tmp_path / "vit-base-patch16-224")
    study = {"optimizer": "adam", "learning_rate": 1e-5, "weight_decay": 1e-3, "schedule": "constant", "batch_size": 32}
    scratch, fine = fields_of("vit_scratch"), fields_of("vit_finetune")
    assert study.items() <= scratch.items()
    assert study.items() <= fine.items()
    assert (scratch["epochs"], scratch["gpus"], scratch["test_batch_size"], scratch["normalization"]) == (
        50,
        4,
        512,
        "data",
    )
    assert (fine["epochs"], fine["normalization"], fine["resize"]) == (5, "half", 224)
    for name in ("vit_scratch", "vit_finetune"):
        cells = make_plan(read_experiment(ROOT / "experiments" / f"{name}.toml")).cells
        assert "fp16_amp_scaled" in {cell.precision.name for cell in cells}, "AMP and a scaler, as the study had"


def test_the_study_of_vgg19_records_the_memory_and_keeps_the_weights() -> None:
    measure = read_experiment(ROOT / "experiments" / "vgg19_amp.toml").protocol
    assert measure.keep_best
    assert {"memory", "snapshot"} <= set(measure.passes)


def test_the_studies_on_several_gpus_keep_their_weights() -> None:
    for name in ("vit_ddp", "vit_ddp_base"):
        measure = read_experiment(ROOT / "experiments" / f"{name}.toml").protocol
        assert measure.keep_best
        assert measure.keep_final
    base = fields_of("vit_ddp_base")
    documented = {"hidden": 768, "num_heads": 12, "num_layers": 12, "patch_size": 16}
    assert json.loads(base["model_args"]) == documented
    assert (base["epochs"], base["batch_size"], base["learning_rate"]) == (50, 256, 1e-3)


def test_the_hybrid_has_its_one_training_at_a_rate_of_a_fiftieth() -> None:
    fields = fields_of("hybrid")
    assert (fields["learning_rate"], fields["batch_size"], fields["epochs"], fields["gpus"]) == (0.02, 32, 300, 2)
    assert fields["sync_batchnorm"]


def test_the_profiles_of_the_trainer_that_chooses_have_its_levels_decays_and_aims() -> None:
    quick, accuracy = fields_of("auto_quick"), fields_of("auto_accuracy")
    assert (quick["model"], quick["epochs"], quick["batch_size"], quick["learning_rate"]) == (
        "SmallCifarNet",
        10,
        512,
        0.2,
    )
    assert (tuple(quick["augment"]), quick["weight_decay"]) == (LEVELS["minimal"], 1e-4)
    assert (tuple(accuracy["augment"]), accuracy["weight_decay"]) == (LEVELS["heavy"], 5e-4)
    assert (accuracy["epochs"], accuracy["batch_size"], accuracy["learning_rate"]) == (200, 256, 0.05)
    assert (accuracy["schedule"], accuracy["label_smoothing"]) == ("warm_restarts", 0.1)
    for name, target in (("auto_quick", 0.75), ("auto_accuracy", 0.94)):
        measure = read_experiment(ROOT / "experiments" / f"{name}.toml").protocol
        assert (measure.target_accuracy, measure.keep_best) == (target, True)


def command_lines() -> list[str]:
    """Return the commands that experiments/README.md gives for what the studies did."""
    text = (ROOT / "experiments" / "README.md").read_text().partition("## The studies' own command lines")[2]
    return [line.strip().rstrip(" &") for line in text.splitlines() if line.startswith("    ") and "run_" in line]


def test_every_command_line_in_the_reference_is_one_that_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("AMPBENCH_DATA", "")
    lines = [line for line in command_lines() if "visualize" not in line]
    assert sum("vgg19_amp.toml --only precision=" in line for line in lines) == 7, "S3's seven scripts"
    for line in lines:
        words = [word for word in line.split() if not word.startswith("CUDA_VISIBLE_DEVICES=")]
        if words[0] == "experiments/run_gpu.sh":  # whose board is not here; tests/bench/test_scripts.py has its words
            words[:2] = ["python", "bench/run_matrix.py"]
        main = {"bench/run_one.py": run_one.main, "bench/run_matrix.py": run_matrix.main}[words[1]]
        typed = [
            str(ROOT / word) if word.startswith("experiments/") else word for word in words[2:] if word != "--plan"
        ]
        app = typer.Typer(add_completion=False)
        app.command()(main)
        try:
            app([*[word for word in typed if word != "--summary"], "--plan"], standalone_mode=False)
        except Exception as e:
            pytest.fail(f"{line}: {e}")
        assert "To run: " in capsys.readouterr().out, line


@pytest.mark.whole
@pytest.mark.parametrize("name", STUDIES)
def test_the_twin_of_every_study_runs(name: str, tmp_path: Path) -> None:
    save(tiny_vit(), tmp_path / "tiny-vit")
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
