"""The quickstart of a cluster: the same cells as on this machine, equal losses under the seed, each once; and losses.

One cluster of two nodes for all tests here. They share this machine's CPU, which their boards and rows say.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ampbench.bench.launch.launcher import Launcher
from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.sweep import sweep
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from tests.conftest import ROOT
from tests.support.ray_cluster import RayCluster, ray_cluster

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: requirements-ray.txt"),
]

TEXT = """
question = "Is it the same on a cluster?"
[fixed]
model = "tests.support.tiny:Net"
data = "digits"
image_size = 8
batch_size = 512
num_threads = 1
augment = []
epochs = 1
[matrix]
seed = [0, 1]
precision = ["fp32", "bf16_amp"]
[measure]
passes = []
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    import ray

    with ray_cluster(str(tmp_path_factory.mktemp("home"))) as started:
        for _ in range(2):
            started.add()
        yield started
        ray.shutdown()


@pytest.fixture(scope="module")
def on_ray(cluster: RayCluster) -> Launcher:
    """One launcher for all tests: it asks the nodes what they have once, unless they changed."""
    return on(cluster.address)


SLOW = (
    TEXT.replace("tests.support.tiny:Net", "tests.support.failing:Slow")
    .replace("digits", "synthetic")
    .replace("batch_size = 512", "batch_size = 1024")
    .replace("image_size = 8\n", "")
)
ONE_GROUP = SLOW.replace("[0, 1]", "[0]")


@pytest.fixture
def swept(tmp_path: Path) -> Callable[..., str]:
    """Return `sweep_into` for a folder of this test."""
    return partial(sweep_into, tmp_path)


def sweep_into(folder: Path, launcher: Launcher, text: str = TEXT, *, name: str = "on_ray") -> str:
    """Run an experiment with a launcher and return what a person saw."""
    plan = make_plan(parse_experiment(folder / f"{name}.toml", text))
    out = io.StringIO()
    options = Options(launcher=launcher, results=folder, report=False)
    assert sweep(plan, plan.cells, options, Console(file=out, width=200)) == 0
    return out.getvalue()


def on(address: str) -> Launcher:
    from ampbench.bench.launch.ray.ray import Ray

    return Ray(address=address)


@contextmanager
def another_launcher(cluster: RayCluster, folder: Path, text: str = SLOW) -> Iterator[subprocess.Popen[str]]:
    """Sweep in a process of its own, which has begun its first cell."""
    here = "tests.bench.launch.ray.test_ray"
    code = (
        f"from pathlib import Path; from {here} import *; print(sweep_into(Path({str(folder)!r}), "
        f"on({cluster.address!r}), {text!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        wait_for_a_cell(folder)
        yield process


def wait_for_a_cell(folder: Path) -> None:
    until_s = time.monotonic() + 120
    while not list((folder / "on_ray" / "runs").glob("*/log.txt")):
        assert time.monotonic() < until_s, "no cell has begun"
        time.sleep(0.2)


def rows(folder: Path, name: str = "on_ray") -> dict[str, dict[str, Any]]:
    found = pq.read_table(folder / name / "cells.parquet").to_pylist()
    assert len({row["cell_id"] for row in found}) == len(found)
    return {row["cell_id"]: row for row in found}


def losses(folder: Path, name: str = "on_ray") -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in pq.read_table(folder / name / "steps.parquet").to_pylist():
        found.setdefault(row["cell_id"], []).append(row["loss"])
    return found


def test_cells_on_two_nodes_are_those_of_this_machine_each_once(
    on_ray: Launcher, swept: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said = swept(on_ray)
    swept(Local(), name="here")
    there, here = rows(tmp_path), rows(tmp_path, "here")
    assert {row["status"] for row in there.values()} == {"ok"}
    assert losses(tmp_path) == losses(tmp_path, "here")
    assert there.keys() == here.keys()
    assert {row["switches"] for row in there.values()} == {row["switches"] for row in here.values()}
    assert {row["board"] for row in there.values()} == {"cpu:0/2", "cpu:1/2"}
    groups: dict[str, set[str]] = {}
    for row in there.values():
        groups.setdefault(row["group_id"], set()).add(row["board"])
    assert all(len(boards) == 1 for boards in groups.values())
    assert "Ray cluster of 1 machine, 2 boards" in said
    assert len(re.findall(r"^ +\d/4 .* ok ", said, re.MULTILINE)) == 4
    assert "(raylet)" not in "".join(capfd.readouterr())
    assert not list((tmp_path / "on_ray").glob(".seen-*"))


@pytest.mark.whole
def test_after_a_launcher_was_killed_the_same_command_goes_on(
    cluster: RayCluster, on_ray: Launcher, swept: Callable[..., str], tmp_path: Path
) -> None:
    with another_launcher(cluster, tmp_path, ONE_GROUP) as process:
        process.kill()
    assert list((tmp_path / "on_ray").glob(".seen-*")), "nobody was left to take it away"
    swept(on_ray, ONE_GROUP)
    assert [row["status"] for row in rows(tmp_path).values()] == ["ok"] * 2
    assert not list((tmp_path / "on_ray").glob(".seen-*"))


@pytest.mark.parametrize(
    ("way", "epochs"),
    [("kill", 1), pytest.param("remove", 40, marks=pytest.mark.whole)],  # Ray takes seconds to remove one
    ids=["kill", "remove"],
)
def test_a_lost_node_costs_the_cell_in_flight_which_runs_again_on_the_other(
    cluster: RayCluster,
    on_ray: Launcher,
    swept: Callable[..., str],
    tmp_path: Path,
    way: str,
    epochs: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    victim = cluster.cluster.list_all_nodes()[-1]

    def lose_one() -> None:
        wait_for_a_cell(tmp_path)
        getattr(cluster, way)(victim)

    thread = threading.Thread(target=lose_one)
    thread.start()
    try:
        said = swept(on_ray, SLOW.replace("epochs = 1", f"epochs = {epochs}"))
    finally:
        thread.join()
        cluster.drop(victim)
        cluster.add()
    assert {row["status"] for row in rows(tmp_path).values()} == {"ok"}
    assert len(rows(tmp_path)) == 4
    assert "was lost" in said
    assert len(re.findall(r"^ +\d/4 ", said, re.MULTILINE)) == 4
    assert "(raylet)" not in "".join(capfd.readouterr())


@pytest.mark.whole
def test_results_of_nodes_that_do_not_see_the_folder_are_carried_here(
    on_ray: Launcher, swept: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token is a file that no node sees, as where there is no shared file system."""
    from ampbench.bench.launch.ray import lane

    begin = lane.Lane.begin
    monkeypatch.setattr(lane.Lane, "begin", lambda self, run, asked, token: begin(self, run, asked, f"{token}-not"))
    said = swept(on_ray)
    assert {row["status"] for row in rows(tmp_path).values()} == {"ok"}
    assert said.count("its results are carried here") == 1
    for run in (tmp_path / "on_ray" / "runs").iterdir():
        assert {"record.parquet", "cell.json", "log.txt", "steps.parquet"} <= set(os.listdir(run))
        assert json.loads((run / "cell.json").read_text())["board"]["host"]


@pytest.mark.whole
def test_two_launchers_on_one_folder_measure_each_cell_once(
    cluster: RayCluster, on_ray: Launcher, swept: Callable[..., str], tmp_path: Path
) -> None:
    with another_launcher(cluster, tmp_path) as process:
        said = swept(on_ray, SLOW)
        other = process.communicate()[0]
    assert process.returncode == 0
    assert [row["status"] for row in rows(tmp_path).values()] == ["ok"] * 4
    assert len(re.findall(r"^ +\d/4 .* ok ", said + other, re.MULTILINE)) == 4
