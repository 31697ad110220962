"""What Slurm says of jobs, asked of a real one: queued, at work, ended, forgotten."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ampbench.bench.launch.slurm.partitions import find_partition
from ampbench.bench.launch.slurm.states import GONE, State, array_named, how_it_ended, states_of
from ampbench.bench.plan.errors import RequestError
from tests.support.slurm_cluster import Cluster, slurm_cluster, why_missing

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(why_missing() is not None, reason=str(why_missing()))]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with slurm_cluster() as found:
        yield found


@pytest.fixture(autouse=True)
def found(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cluster.environ.items():
        monkeypatch.setenv(name, value)


def submit(cluster: Cluster, tmp_path: Path, line: str, *words: str) -> str:
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/bash\n{line}\n")
    return cluster("sbatch", "--parsable", f"--output={tmp_path}/out", *words, str(script)).strip()


def wait_for(job_id: str, *words: str) -> State:
    until_s = time.monotonic() + 30
    while (state := states_of([job_id])[job_id]).word not in words:
        assert time.monotonic() < until_s, f"{job_id} is {state}"
        time.sleep(0.1)
    return state


def test_a_job_is_followed_from_the_queue_to_its_end_and_a_forgotten_one_is_gone(
    cluster: Cluster, tmp_path: Path
) -> None:
    array = submit(cluster, tmp_path, "sleep 60", "--array=0-2", "--exclusive", "--job-name=one-of-a-kind")
    assert wait_for(f"{array}_0", "RUNNING").node == "n1"
    states = states_of([f"{array}_1", f"{array}_2", "4711"])
    assert [state.is_queued for state in states.values()] == [True, True, False]
    assert states["4711"] == State(word=GONE)
    assert array_named("one-of-a-kind") == array
    assert array_named("unheard-of") is None
    cluster("scancel", array)
    ended = wait_for(f"{array}_0", "CANCELLED")
    assert ended.is_over
    assert how_it_ended(f"{array}_0", ended).startswith(f"Slurm says CANCELLED of job {array}_0 on node n1")


def test_how_a_job_failed_is_said_with_its_exit_code(cluster: Cluster, tmp_path: Path) -> None:
    job_id = submit(cluster, tmp_path, "exit 7")
    state = wait_for(job_id, "FAILED")
    assert how_it_ended(job_id, state) == f"Slurm says FAILED of job {job_id} on node n1, exit 7"


def test_a_partition_is_found_by_its_name_or_as_the_default() -> None:
    assert find_partition(None).name == "cpu"
    gpus = find_partition("gpu")
    assert (gpus.most_gpus, gpus.fewest_cores, gpus.limit_min) == (4, 2, 600)
    both = find_partition("cpu,gpu")
    assert (both.name, both.most_gpus) == ("cpu,gpu", 4)
    with pytest.raises(
        RequestError, match=r"--slurm partition=cpu,gpus: no such partition here\. Did you mean 'gpu'\?"
    ):
        find_partition("cpu,gpus")
    with pytest.raises(RequestError, match=r"--slurm partition=gpus: no such partition here\. Did you mean 'gpu'\?"):
        find_partition("gpus")


def test_without_slurms_commands_or_without_an_answer_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "slurm.conf"
    broken.write_text("ClusterName=\n")
    monkeypatch.setenv("SLURM_CONF", str(broken))
    with pytest.raises(RequestError, match=r"^sinfo: .*slurm\.conf"):
        find_partition(None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RequestError, match=r"--launcher slurm: no sinfo here; .*--slurm cluster=local"):
        find_partition(None)
