"""What keeps cells from running is found before the first one, all of it at once, each with its next move."""

from __future__ import annotations

import os
import shutil
import sys
import urllib.error
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.readiness import places, software
from ampbench.bench.launch.readiness.before import CHEAP, asked, refuse_unready
from ampbench.bench.launch.readiness.finding import Finding, Subject
from ampbench.bench.launch.readiness.places import cache_writable, data_there, locks_writable, results_writable
from ampbench.bench.launch.readiness.software import (
    cores_unlimited,
    memory_enough,
    packages_there,
    python_new_enough,
    switches_harmless,
)
from ampbench.bench.launch.sweep import sweep
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.store.record import ROOM_BYTES
from tests.support.machines import NO_GPU, kernel


def subject(tmp_path: Path, data: str = "synthetic", **changes: Any) -> Subject:
    given: dict[str, Any] = {"results": tmp_path / "results", "data": ((data, 32),), "environ": {}, "library": NO_GPU}
    return Subject(**given | {"root": kernel(tmp_path / "kernel")} | changes)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what sets the free bytes of every disk."""

    def set_to(num_bytes: int) -> None:
        usage = SimpleNamespace(total=2**40, used=0, free=num_bytes)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    return set_to


def test_a_healthy_machine_is_ok_in_every_cheap_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: Callable[[int], None]
) -> None:
    free(2**36)
    monkeypatch.setenv("AMPBENCH_CACHE", str(tmp_path / "cache"))
    found = {check.name: asked(check.ask, subject(tmp_path)) for check in CHEAP}
    assert {name for name, one in found.items() if one.level == "failed"} == set(), found
    assert found["memory"] == Finding(level="ok", said="60.0 GiB can be used")
    assert python_new_enough(subject(tmp_path)).level == "ok"
    assert not (tmp_path / "results").exists(), "asking makes no folder"
    assert not (tmp_path / "cache").exists()
    assert not list(tmp_path.glob(".ampbench*"))


def test_a_package_that_is_missing_is_named_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = software.importlib.util.find_spec
    hidden = {"pyarrow", "pandas"}
    monkeypatch.setattr(software.importlib.util, "find_spec", lambda name: None if name in hidden else there(name))
    found = packages_there(subject(tmp_path))
    assert found.level == "failed"
    assert found.said.startswith("not installed here: pyarrow, pandas; ")
    assert "-m pip install 'pyarrow>=" in found.said


def test_packages_that_are_old_or_used_by_few_commands_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software, "missing", lambda _: ["torch>=2.11", "wandb>=0.19"])
    found = packages_there(subject(tmp_path))
    assert found.level == "warning"
    assert "older than any that was tried: torch>=2.11" in found.said
    assert "needed by some commands alone: wandb>=0.19; python -m pip install 'torch>=2.11' 'wandb>=0.19'" in found.said


def test_a_variable_that_makes_a_recipe_untrue_fails_and_a_harmless_one_is_told(tmp_path: Path) -> None:
    wrong = switches_harmless(subject(tmp_path, environ={"NVIDIA_TF32_OVERRIDE": "0"}))
    assert (wrong.level, wrong.said[-28:]) == ("failed", "; unset NVIDIA_TF32_OVERRIDE")
    assert "OMP_NUM_THREADS=1" in switches_harmless(subject(tmp_path, environ={"OMP_NUM_THREADS": "1"})).said


@pytest.mark.parametrize(("free_gib", "level"), [(0.4, "failed"), (1.5, "warning"), (60, "ok")])
def test_memory_is_judged_by_what_a_worker_takes(tmp_path: Path, free_gib: float, level: str) -> None:
    found = memory_enough(subject(tmp_path, root=kernel(tmp_path / "k", free_gib=free_gib)))
    assert found.level == level
    assert ("stop other programs" in found.said) == (level != "ok")


def test_more_processes_of_a_cell_than_the_memory_of_a_cpu_holds_are_refused(tmp_path: Path) -> None:
    here = subject(tmp_path, root=kernel(tmp_path / "k", free_gib=20.0))
    assert memory_enough(replace(here, most_ranks=4)).level == "ok"
    found = memory_enough(replace(here, most_ranks=1000))
    assert found.level == "failed"
    assert "gpus = 1000 starts 1000 processes on one CPU, which take more than 200 GiB: ask for fewer" in found.said


def test_a_container_without_memory_on_a_machine_with_much_fails(tmp_path: Path) -> None:
    limit = {"sys__fs__cgroup__memory.max": str(2**28), "sys__fs__cgroup__cpu.max": "100000 100000"}
    boxed = subject(tmp_path, root=kernel(tmp_path / "k", **limit))
    assert memory_enough(boxed).level == "failed"
    assert "limited to 0.2 GiB by the control group" in memory_enough(boxed).said


def test_threads_beyond_the_cores_allowed_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    boxed = subject(tmp_path, root=kernel(tmp_path / "k", **{"sys__fs__cgroup__cpu.max": "200000 100000"}))
    found = cores_unlimited(boxed)
    assert (found.level, found.said[-19:]) == ("warning", "set num_threads = 2")


def test_a_folder_that_cannot_be_written_says_why_and_where_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    found = results_writable(subject(tmp_path, results=file / "results"))
    assert found.level == "failed"
    assert (
        found.said
        == f"{file}: cannot be written (Not a directory); mend that path, or give --results DIR for another place"
    )
    monkeypatch.setenv("AMPBENCH_CACHE", str(file / "cache"))
    assert "AMPBENCH_CACHE=DIR" in cache_writable(subject(tmp_path)).said
    monkeypatch.setenv("AMPBENCH_LOCKS", str(file / "locks"))
    assert locks_writable(subject(tmp_path)).level == "failed"
    assert "AMPBENCH_LOCKS=DIR" in locks_writable(subject(tmp_path)).said


def test_a_full_disk_fails_and_a_nearly_full_one_is_a_warning(tmp_path: Path, free: Callable[[int], None]) -> None:
    free(ROOM_BYTES)
    found = results_writable(subject(tmp_path, num_cells=100))
    assert found.level == "failed"
    assert "4 MiB free, 14 MiB are needed; free some space there, or give --results DIR" in found.said
    free(2**29)
    assert results_writable(subject(tmp_path, num_cells=100)).level == "warning"
    free(2**36)
    assert results_writable(subject(tmp_path, num_cells=100)).level == "ok"


def test_a_download_needs_room_in_the_cache(
    tmp_path: Path, free: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPBENCH_CACHE", str(tmp_path / "cache"))
    free(300 * 2**20)
    assert cache_writable(subject(tmp_path)).level == "warning"
    found = cache_writable(subject(tmp_path, data="cifar10"))
    assert (found.level, "412 MiB are needed" in found.said) == ("failed", True)


def unreachable(*_: object, **__: object) -> None:
    raise urllib.error.URLError("Name or service not known")


def test_data_that_is_neither_here_nor_reachable_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places.urllib.request, "urlopen", unreachable)
    found = data_there(subject(tmp_path, data="cifar10", asks_network=True))
    assert found.level == "failed"
    for said in (
        "is not here",
        "Name or service not known",
        f"put cifar-10-python.tar.gz into {tmp_path}/cache",
        "'digits'",
    ):
        assert said in found.said
    assert data_there(subject(tmp_path, data="cifar10")).level == "ok", "nobody asks the network before a matrix"
    (tmp_path / "cache" / "downloads").mkdir(parents=True)
    (tmp_path / "cache" / "downloads" / "cifar-10-python.tar.gz").touch()
    assert data_there(subject(tmp_path, data="cifar10", asks_network=True)).level == "ok"


@pytest.mark.parametrize(("code", "level"), [(404, "failed"), (405, "ok")])
def test_a_server_that_refuses_a_head_alone_is_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, level: str
) -> None:
    def answer(*_: object, **__: object) -> None:
        raise urllib.error.HTTPError("u", code, "no", {}, None)  # type: ignore[arg-type]

    monkeypatch.setenv("AMPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places.urllib.request, "urlopen", answer)
    assert data_there(subject(tmp_path, data="cifar10", asks_network=True)).level == level


def test_two_data_sets_that_are_missing_are_both_said(tmp_path: Path) -> None:
    found = data_there(subject(tmp_path, data="folder:/nowhere", num_cells=2))
    assert found.said.startswith("data = 'folder:/nowhere': no folder '/nowhere'; mend the path")
    both = Subject(results=tmp_path, data=(("folder:/nowhere", 32), ("digitz", 32), ("digits", 32)))
    said = data_there(both).said
    assert said.count("'/nowhere'") == 1
    assert "'digitz' is no data" in said


def test_all_that_is_wrong_is_one_message_and_each_thing_is_said_once(tmp_path: Path) -> None:
    boxed = subject(tmp_path, data="folder:/nowhere", root=kernel(tmp_path / "k", free_gib=0.1))
    with pytest.raises(RequestError) as caught:
        refuse_unready(boxed)
    said = str(caught.value)
    assert said.startswith("2 things keep these cells from running: (1) 0.1 GiB can be used; ")
    assert "(2) data = 'folder:/nowhere': no folder '/nowhere'" in said
    assert "\n" not in said
    with pytest.raises(RequestError, match=r"^data = 'folder:/nowhere'"):
        refuse_unready(subject(tmp_path, data="folder:/nowhere"))
    refuse_unready(subject(tmp_path))


def test_a_check_that_fails_by_itself_is_a_warning_and_refuses_nothing(tmp_path: Path) -> None:
    def broken(_: Subject) -> Finding:
        raise PermissionError("not for you")

    assert asked(broken, subject(tmp_path)).level == "warning"


def test_a_matrix_asks_before_it_writes_or_starts_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, experiment_file: Callable[..., Path]
) -> None:
    file = experiment_file(
        """
question = "Is it ready?"
[matrix]
seed = [0, 1, 2]
[fixed]
model = "LeNet"
data = "synthetic"
batch_size = 32
precision = "fp32"
"""
    )
    monkeypatch.setattr(
        "ampbench.bench.launch.readiness.finding.find_hardware",
        lambda *_, **__: SimpleNamespace(
            usable_memory_bytes=1, memory_bytes=2, limits=SimpleNamespace(memory_bytes=None)
        ),
    )
    plan = make_plan(read_experiment(file))
    options = Options(results=tmp_path / "out", launcher=Local())
    with pytest.raises(RequestError, match=r"a worker takes more than 0\.5 GiB"):
        sweep(plan, plan.cells, options, Console(file=sys.stderr))
    assert not (tmp_path / "out").exists()
