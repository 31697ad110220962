"""Everything of ours is `ampbench.…`, so that no folder or module of a user's own is in its way, nor ours in theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT

NET = """
import torch
from torch import nn

from models.layers import SIZE

class {name}(nn.Module):
    input_shape, num_classes = (3, 32, 32), 10

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3 * SIZE, 10)

    def forward(self, x_NCHW):
        return self.head(nn.functional.adaptive_avg_pool2d(x_NCHW, (SIZE, 1)).flatten(1))
"""

COMMANDS = {
    "by path": [str(ROOT / "bench" / "run_matrix.py")],
    "by name": ["-m", "ampbench", "run"],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with folders and a module that are called as ours are."""
    for name in ("models", "bench", "tests", "visualize"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"# the project's own {name}\n")
    (tmp_path / "models" / "layers.py").write_text("SIZE = 4\n")
    (tmp_path / "models" / "tinynet.py").write_text(NET.format(name="Mine"))
    (tmp_path / "models" / "resnet.py").write_text(NET.format(name="ResNet18"))
    (tmp_path / "bench" / "nets.py").write_text(NET.format(name="Net"))
    return tmp_path


def test_another_machine_is_told_where_ours_and_the_users_code_is_and_not_where_this_python_has_its_library(
    tmp_path: Path,
) -> None:
    """A Python 3.12 that finds the library of a 3.11 before its own ends with `SRE module mismatch`."""
    code = "from ampbench.path import for_nodes; print(for_nodes())"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    said = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True).stdout
    assert said.strip().split(os.pathsep) == [str(ROOT), str(tmp_path)]


def experiment(project: Path, models: Sequence[str], **fields: object) -> Path:
    rows = [f"{name} = {value}" for name, value in fields.items()]
    text = ['question = "?"', "[matrix]", f"model = {list(models)}".replace("'", '"'), "[fixed]", 'data = "synthetic"']
    text += ['precision = "fp32"', "batch_size = 32", "epochs = 0", "num_threads = 1", *rows]
    text += ["[measure]", "max_timing_s = 0.01", "max_warmup_s = 0.01", "block_ms = 1", "passes = []"]
    file = project / "own.toml"
    file.write_text("\n".join(text))
    return file


def statuses(project: Path, command: Sequence[str], file: Path, **environ: str) -> dict[str, tuple[str, str | None]]:
    words = [sys.executable, *command, file.name, "--results", "results"]
    done = subprocess.run(words, cwd=project, env=os.environ | environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pq.read_table(project / "results" / "own" / "cells.parquet").to_pylist()
    return {row["model"]: (row["status"], row["because"]) for row in rows}


@pytest.mark.whole
@pytest.mark.parametrize("command", COMMANDS)
def test_ours_and_a_projects_own_run_side_by_side(command: str, project: Path) -> None:
    models = ["LeNet", "models.tinynet:Mine", "models.resnet:ResNet18", "bench.nets:Net"]
    if command == "by path":  # a module that Python itself would run for `-m ampbench`
        (project / "ampbench.py").write_text("raise SystemExit('the wrong ampbench')\n")
    environ = {"PYTHONPATH": str(ROOT)} if command == "by name" else {}
    found = statuses(project, COMMANDS[command], experiment(project, models), **environ)
    assert found == dict.fromkeys(models, ("ok", None))


@pytest.mark.whole
def test_ranks_find_a_projects_own_too(project: Path) -> None:
    (project / "ampbench.py").write_text("raise SystemExit('the wrong ampbench')\n")
    models = ["LeNet", "models.resnet:ResNet18"]
    found = statuses(project, COMMANDS["by path"], experiment(project, models, gpus=2))
    assert found == dict.fromkeys(models, ("ok", None))


@pytest.mark.whole
@pytest.mark.parametrize("flags", [["--predict"], ["--summary"]])
def test_what_is_foretold_is_of_a_projects_own(flags: list[str], project: Path) -> None:
    (project / "ampbench.py").write_text("raise SystemExit('the wrong ampbench')\n")
    file = experiment(project, ["models.resnet:ResNet18", "LeNet"])
    words = [sys.executable, str(ROOT / "bench" / "run_matrix.py"), file.name, "--plan", *flags, "--results", "results"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, timeout=300)
    assert (done.returncode, "the wrong" in done.stdout + done.stderr) == (0, False), done.stderr
    assert "Linear" in done.stdout if "--summary" in flags else "MiB" in done.stdout


def test_no_module_of_ours_is_loaded_under_a_second_name() -> None:
    code = "import runpy, sys; sys.argv = ['run_matrix.py', 'experiments/quickstart.toml', '--plan']\n"
    code += "try: runpy.run_path('bench/run_matrix.py', run_name='__main__')\n"
    code += "except SystemExit: pass\n"
    code += "print([m for m in sys.modules if m.partition('.')[0] in ('bench', 'models', 'visualize')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
