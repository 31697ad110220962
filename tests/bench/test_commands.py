"""run_one.py: the flags of study S3, and those combinations that it ran as something else."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from ampbench.bench import command, run_matrix
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.study_s3 import recipe
from tests.conftest import ROOT
from tests.support.thinned import thinned


@pytest.mark.parametrize(
    ("dtype", "amp", "scale", "becomes"),
    [
        ("fp32", False, False, "fp32"),
        ("fp16", False, False, "fp16"),
        ("fp16", False, True, "fp16_scaled"),
        ("fp16", True, False, "fp16_amp"),
        ("fp16", True, True, "fp16_amp_scaled"),
        ("bf16", False, False, "bf16"),
        ("bf16", True, False, "bf16_amp"),
        ("bf16", True, True, "bf16_amp_scaled"),
    ],
)
def test_the_flags_of_s3_become_recipes(dtype: str, amp: bool, scale: bool, becomes: str) -> None:
    assert recipe(dtype, amp=amp, loss_scale=scale, tf32=False) == becomes


@pytest.mark.parametrize(
    ("dtype", "amp", "scale", "tf32", "said"),
    [
        ("fp32", False, True, False, "nothing to scale"),
        ("fp32", True, True, False, "nothing to scale"),
        ("fp32", True, False, False, "autocast to fp32 does nothing"),
        ("bf16", False, True, False, "exponent range"),
        ("bf16", False, False, True, "only on matrix products and convolutions in fp32"),
        ("fp64", False, False, False, "choose fp32, fp16 or bf16"),
    ],
)
def test_what_s3_ran_in_silence_is_refused(dtype: str, amp: bool, scale: bool, tf32: bool, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        recipe(dtype, amp=amp, loss_scale=scale, tf32=tf32)


def test_tf32_is_a_flag_of_fp32() -> None:
    assert recipe("fp32", amp=False, loss_scale=False, tf32=True) == "tf32"


@pytest.mark.whole
def test_one_cell_runs_from_flags_and_says_its_numbers(tmp_path: Path) -> None:
    flags = (
        "--model LeNet --data synthetic --dtype bf16 --amp --batch-size 256 --epochs 1 --num-threads 1 --progress-bar"
    )
    command = [sys.executable, "bench/run_one.py", *flags.split(), "--results", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    row = pq.read_table(tmp_path / "run_one" / "cells.parquet").to_pylist()[0]
    assert (row["precision"], row["status"], row["batch_size"]) == ("bf16_amp", "ok", 256)
    assert row["study_name"] == "Synthetic-LeNet-e1-b256-bf16-amp"
    assert "images/s" in result.stdout
    lines = result.stdout.splitlines()
    own = lines[lines.index("LeNet bf16_amp b256 s0:") + 1 :]
    assert own[:3] == [
        "Total samples: 512",
        f"Mean loss: {row['test_loss']:.4f}",
        f"Accuracy: {row['test_accuracy']:.4f}",
    ]
    for name in ("Macro F1: ", "Training loss: ", "Speed: ", "Memory: ", "Time: "):
        assert any(line.startswith(name) for line in own), name
    assert own[-1].startswith("To compare it: run it again in another --precision")
    assert "there is nothing to compare it with" not in result.stdout
    again = subprocess.run([*command, "--resume"], cwd=ROOT, capture_output=True, text=True)
    assert "1/1" not in again.stdout, "a finished record is kept"


@pytest.mark.whole
def test_runs_by_flags_share_one_table_and_say_how_to_compare_them(tmp_path: Path) -> None:
    def run(*flags: str) -> str:
        shared = "--model LeNet --data synthetic --epochs 1 --num-threads 1 --batch-size 256"
        command = [sys.executable, "bench/run_one.py", *shared.split(), *flags, "--results", str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run()
    second = run("--dtype", "bf16", "--amp", "--keep-final")
    assert "earlier plans" not in second
    third = run("--weight-decay", "1e-4").splitlines()[-1]
    rows = pq.read_table(tmp_path / "run_one" / "cells.parquet").to_pylist()
    assert [(row["precision"], row["weight_decay"]) for row in rows] == [
        ("fp32", 5e-4),
        ("bf16_amp", 5e-4),
        ("fp32", 1e-4),
    ]
    assert len({row["command"] for row in rows}) == 3
    assert len(list((tmp_path / "run_one" / "runs").glob("*/model_final.pt"))) == 1
    folder = tmp_path / "run_one"
    assert third == (
        f"To compare it with the other 2 runs of LeNet: python -m ampbench report {folder} --only model=LeNet"
    )
    asked = subprocess.run([sys.executable, *shlex.split(third)[-7:][1:], "--words-only"], cwd=ROOT, check=False)
    assert asked.returncode == 0
    assert "weight_decay" in (folder / "selected" / "summary.txt").read_text()
    run("--resume")
    assert len(pq.read_table(tmp_path / "run_one" / "cells.parquet")) == 3


@pytest.mark.whole
@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        pytest.param("--model LeNet", "ok", "", id="S3's DataParallel"),
        pytest.param("--model hybrid --sync-batchnorm", "unsupported", "synchronises BatchNorm on GPUs only", id="S2"),
    ],
)
def test_several_boards_train_one_cell_from_flags(flags: str, status: str, said: str, tmp_path: Path) -> None:
    """On a CPU these are processes."""
    shared = "--dtype fp32 --data digits --epochs 1 --num-threads 1 --batch-size 64 --gpus-per-cell 2"
    command = [sys.executable, "bench/run_one.py", *shared.split(), *flags.split(), "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = pq.read_table(tmp_path / "run_one" / "cells.parquet").to_pylist()
    assert (row["status"], row["gpus"], row["global_batch_size"]) == (status, 2, 128), row["because"]
    assert said in (row["because"] or "")
    (log,) = (tmp_path / "run_one" / "runs").glob("*/log.txt")
    assert status != "ok" or all(f"Rank {rank} loaded" in log.read_text() for rank in (0, 1))


@pytest.mark.parametrize(
    "flags",
    thinned([["--dtype", "bf16", "--loss-scale"], ["--model", "VGG18"], ["--batch-size", "none"]], kept=1),
    ids=" ".join,
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(flags: list[str]) -> None:
    result = subprocess.run([sys.executable, "bench/run_one.py", *flags], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--gpus 0 --gpus 1", "--gpus is given 2 times, and takes one value: give it once"),
        ("--shard 0/2 --only seed=0 --shard=1/2 --only seed=1", "--shard is given 2 times"),
        ("--project a --wandb-project b --project c", "--project is given 3 times"),
    ],
)
def test_a_flag_of_one_value_is_given_once_and_those_that_repeat_more_often(words: str, said: str) -> None:
    app = typer.Typer()
    app.command(cls=command._Command)(run_matrix.main)
    refused = CliRunner().invoke(app, ["x.toml", *words.split()]).exception
    assert isinstance(refused, RequestError)
    assert str(refused).startswith(said)


@pytest.mark.parametrize("name", ["run_matrix", "run_one", "advise"])
def test_help_lists_every_flag_once_below_a_heading(name: str) -> None:
    app = typer.Typer(rich_markup_mode=None)
    app.command(cls=command._Command)(importlib.import_module(f"ampbench.bench.{name}").main)
    said = CliRunner().invoke(app, ["--help"]).output
    own, _, last = said.partition("\nOptions:\n")
    assert re.findall(r"^  (--\S+)", last, re.MULTILINE) == ["--install-completion", "--show-completion", "--help"]
    listed = re.findall(r"^  (?:-\w, )?(--[\w-]+)", own, re.MULTILINE)
    assert len(listed) == len(set(listed)) > 15
    assert len(re.findall(r"^\S.*:$", own, re.MULTILINE)) > 4
