"""The launcher that a person chooses: one place for all commands, and what does not go together is said."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.launch.choose import launcher_of, refuse_flags, refuse_trials
from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.slurm.scheduler import Slurmctld
from ampbench.bench.launch.slurm.script import executor_of
from ampbench.bench.launch.slurm.slurm import Slurm
from ampbench.bench.plan.errors import RequestError


def test_this_machine_is_where_cells_run_unless_another_place_is_named() -> None:
    assert launcher_of("local", gpus="0", allow_shared=True) == Local(gpus="0", allow_shared=True)


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("lokal", {}, r"^--launcher lokal: no such launcher\. Did you mean 'local'\?$"),
        ("k8s", {}, r"^--launcher k8s: no such launcher\. Known: local"),
        ("local", {"slurm": ["time=1"]}, r"^--slurm time=1: belongs to --launcher slurm; add it, or drop both$"),
        ("slurm", {"gpus": "0"}, r"^--gpus 0: names boards of this machine, and with --launcher slurm the cluster"),
        ("local", {"ray_address": "auto"}, r"^--ray-address auto: belongs to --launcher ray; add it, or drop both$"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(name: str, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        refuse_flags(name, **{"gpus": "all", "ray_address": None, **flags})


def test_what_is_found_by_a_look_at_one_machine_is_not_found_for_another() -> None:
    refuse_trials("local", ['batch_size = "max"'])
    refuse_trials("ray", [])
    with pytest.raises(RequestError, match=r'^--launcher ray: batch_size = "max" is found on one machine.*write the'):
        refuse_trials("ray", ['batch_size = "max"'])


def test_a_launcher_of_jobs_gets_what_was_typed() -> None:
    pytest.importorskip("submitit")
    chosen = launcher_of("slurm", gpus="all", allow_shared=True, mixed=True, slurm=["partition=a", "time=1:00:00"])
    assert isinstance(chosen, Slurm)
    assert (chosen.resources.partition, chosen.resources.time_min) == ("a", 60)
    assert (chosen.allow_shared, chosen.mixed) == (True, True)


def test_without_submitit_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(
        RequestError, match=r"^--launcher slurm: not installed here: submitit; .*pip install 'submitit>=1\.5'$"
    ):
        launcher_of("slurm", gpus="all", allow_shared=False, slurm=["cluster=local"]).find_boards()


def test_a_machine_without_slurm_is_one_line_with_the_next_move(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match=r"^--launcher slurm: no sbatch here; .*without a cluster: --slurm cluster="):
        launcher_of("slurm", gpus="all", allow_shared=False).find_boards()
    with pytest.raises(RequestError, match=r"^--launcher slurm: no srun here; "):
        executor_of("slurm", tmp_path, {})


def test_what_becomes_of_one_job_is_said_of_one(tmp_path: Path) -> None:
    assert Slurmctld(folder=tmp_path).how_to_end(["7"]).startswith("1 job stays with Slurm")
    assert Slurmctld(folder=tmp_path).how_to_end(["7_0", "7_1"]).startswith("2 jobs stay with Slurm")
