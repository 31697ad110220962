"""The shell scripts of experiments/: what they make of their words, with a stand-in for Python that prints its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

UUID, MIG = "GPU-5f2ab3c4-1111-2222-3333-444455556666", "MIG-5f2ab3c4-1111-2222-3333-444455556666"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python that prints a word a line, and runs nothing."""
    file = tmp_path / "my python"
    file.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    file.chmod(0o755)
    return file


def script(name: str, *words: str, python: Path) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"PYTHON": str(python)}
    command = [str(ROOT / "experiments" / name), *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, cwd=python.parent)


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (["0", "x.toml", "--only", "precision=fp32"], ["x.toml", "--gpus", "0", "--only", "precision=fp32"]),
        (["12", "x.toml"], ["x.toml", "--gpus", "12"]),
        ([UUID, "x.toml"], ["x.toml", "--gpus", UUID]),
        ([MIG, "a b.toml", "--mixed"], ["a b.toml", "--gpus", MIG, "--mixed"]),
        (["MIG-GPU-5f2a/1/0", "x.toml"], ["x.toml", "--gpus", "MIG-GPU-5f2a/1/0"]),
        (["1/4", "x.toml"], ["x.toml", "--shard", "1/4", "--gpus", "1"]),
        (["1/4", "x.toml", "--gpus", UUID], ["x.toml", "--shard", "1/4", "--gpus", UUID]),
        (["1/4", "x.toml", f"--gpus={UUID}"], ["x.toml", "--shard", "1/4", f"--gpus={UUID}"]),
        (["0", "x.toml", "--gpus", "1"], ["x.toml", "--gpus", "0", "--gpus", "1"]),  # which the command refuses
    ],
)
def test_a_board_or_a_shard_is_the_first_word_and_the_rest_goes_on(
    words: list[str], called: list[str], python: Path
) -> None:
    done = script("run_gpu.sh", *words, python=python)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(ROOT / "bench" / "run_matrix.py"), *called]


@pytest.mark.parametrize(
    "words", [[], ["0"], ["x.toml", "0"], ["", "x.toml"], ["0/", "x.toml"], ["-1", "x.toml"], ["0,1", "x.toml"]]
)
def test_other_words_are_told_how_to_use_it(words: list[str], python: Path) -> None:
    done = script("run_gpu.sh", *words, python=python)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "usage: experiments/run_gpu.sh BOARD FILE [options], as in: experiments/run_gpu.sh 0 "
    )
    assert "i/n FILE" in done.stderr


def test_all_boards_are_one_command_too(python: Path) -> None:
    done = script("run_all_gpus.sh", "x.toml", "--only", "seed=0", python=python)
    assert done.stdout.splitlines()[1:] == ["x.toml", "--only", "seed=0", "--gpus", "all"]
    assert script("run_all_gpus.sh", python=python).returncode == 2


@pytest.mark.parametrize("words", [("run_gpu.sh", "0", "x.toml"), ("run_all_gpus.sh", "x.toml")])
def test_without_a_python_it_is_one_line_with_the_next_move(words: tuple[str, ...], tmp_path: Path) -> None:
    done = script(*words, python=tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    said = f"{tmp_path / 'none'}: no such Python; make quickstart installs it, or name your own, as in PYTHON=python3 "
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
