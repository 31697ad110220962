"""Cells on a real Slurm: every cell once, whoever is killed meanwhile, and by the same command in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.slurm.ledger import Ledger
from ampbench.bench.launch.slurm.preview import script_lines
from ampbench.bench.launch.slurm.resources import Resources, parse_resources
from ampbench.bench.launch.slurm.slurm import Slurm
from ampbench.bench.plan.errors import RequestError
from tests.bench.launch.slurm.conftest import QUICK, Swept, quick, wait_until
from tests.conftest import ROOT
from tests.support.slurm_cluster import Cluster

pytestmark = pytest.mark.slurm


def job_processes(cluster: Cluster, kind: str) -> list[psutil.Process]:
    """Return the processes of jobs whose command holds a word."""
    return [process for process in cluster.processes() if any(kind in word for word in process.cmdline())]


def test_the_same_cells_as_on_this_machine_with_equal_losses_each_once(cluster: Cluster, tmp_path: Path) -> None:
    text = QUICK.replace("[0, 1]", "[0]") + "[measure]\npasses = []\n"
    here, there = Swept(tmp_path / "here", text), Swept(tmp_path / "there", text)
    for each, launcher in ((here, Local()), (there, Slurm(poll_s=(0.2, 0.5)))):
        assert each(launcher) == 0
    assert [row["status"] for row in there.rows] == ["ok", "ok"]
    same = ("cell_id", "test_loss", "train_loss", "test_accuracy", "environment_id", "switches", "torch")
    assert [[row[name] for name in same] for row in there.rows] == [[row[name] for name in same] for row in here.rows]
    assert "Submitted 1 job" in there.said
    assert "2/2 LeNet" in there.said
    wait_until(lambda: list(cluster.jobs().values()) == ["COMPLETED"])


def test_an_array_has_a_job_for_each_group_and_leaves_nothing_to_wait_for(cluster: Cluster, swept: Swept) -> None:
    before = len(cluster.jobs())
    assert swept(quick()) == 0
    assert sorted(swept.starts) == sorted(map(str, swept.plan.cells))
    assert len(cluster.jobs()) == before + 2
    assert not Ledger.of(swept.folder).arrays
    assert not list((swept.folder / "slurm" / "jobs").glob("*_submitted.pkl"))
    assert "Submitted 2 jobs" in swept.said
    assert swept(quick()) == 0
    assert len(cluster.jobs()) == before + 2, "what has a record is not submitted"


@pytest.mark.whole
def test_a_job_that_was_cancelled_is_seen_and_submitted_by_the_same_command(cluster: Cluster, swept: Swept) -> None:
    def cancel() -> None:
        wait_until(lambda: swept.slow_starts)
        cluster("scancel", *[job for job, state in cluster.jobs().items() if state == "RUNNING"])

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(
        RequestError, match=r"Slurm says CANCELLED of job \d+_0 on node n1.*: 2 cells have no record; the"
    ):
        swept(quick(cell_s=30.0))
    canceller.join()
    assert len(swept.starts) == 3, "the other group was run nevertheless"
    assert swept(quick()) == 0
    assert [row["status"] for row in swept.rows] == ["ok"] * 4
    assert len(swept.starts) == 5, "the cell at work was started twice, the others once"


@pytest.mark.whole
def test_a_job_that_was_killed_is_seen_without_accounting_and_submitted_again(cluster: Cluster, swept: Swept) -> None:
    def kill() -> None:
        wait_until(lambda: swept.slow_starts)
        for process in job_processes(cluster, "submitit"):
            process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    assert swept(quick(cell_s=2.0)) == 0
    killer.join()
    assert [row["status"] for row in swept.rows] == ["ok"] * 4
    assert len(swept.starts) == 5
    assert "Slurm says FAILED of job" in swept.said
    assert "another job is submitted" in swept.said


def test_a_job_that_slurm_puts_back_into_its_queue_goes_on_where_it_was(cluster: Cluster, swept: Swept) -> None:
    def requeue() -> None:
        wait_until(lambda: len(swept.slow_starts) == 2)
        job = next(job for job, state in cluster.jobs().items() if state == "RUNNING")
        cluster("scontrol", "requeue", job)
        wait_until(lambda: cluster.jobs()[job] == "PENDING")
        cluster("scontrol", "update", f"jobid={job}", "starttime=now")

    thread = threading.Thread(target=requeue)
    thread.start()
    assert swept(quick(cell_s=2.0)) == 0
    thread.join()
    assert [row["status"] for row in swept.rows] == ["ok"] * 4
    assert len(swept.starts) == 5, "what had a record was not run again"


@pytest.mark.whole
def test_a_node_that_dies_with_its_job_costs_the_cell_at_work_and_no_row_twice(cluster: Cluster, swept: Swept) -> None:
    def die() -> None:
        wait_until(lambda: swept.slow_starts)
        for process in cluster.processes():
            words = " ".join(process.cmdline())
            if process.name() == "slurmstepd" or "slurm_script" in words or "submitit" in words:
                process.kill()
        cluster("scontrol", "update", "nodename=n1", "state=down", "reason=test")
        wait_until(lambda: "RUNNING" not in cluster.jobs().values())
        with suppress(AssertionError):  # it may be back already
            cluster("scontrol", "update", "nodename=n1", "state=resume")
        wait_until(lambda: "PENDING" in cluster.jobs().values())
        for job in [job for job, state in cluster.jobs().items() if state == "PENDING"]:
            cluster("scontrol", "update", f"jobid={job}", "starttime=now")

    thread = threading.Thread(target=die)
    thread.start()
    assert swept(quick(cell_s=8.0)) == 0
    thread.join()
    assert [row["status"] for row in swept.rows] == ["ok"] * 4
    assert len(swept.starts) == 5


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.whole)])
def test_jobs_stay_when_their_launcher_ends_and_the_same_command_waits_for_them(
    cluster: Cluster, swept: Swept, number: signal.Signals
) -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path; from tests.bench.launch.slurm.conftest import Swept, quick\n"
        f"swept = Swept(Path({str(swept.results.parent)!r}))\n"
        "code = swept(quick(cell_s=2.0)); print(swept.said); raise SystemExit(code)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True
    ) as one:
        wait_until(lambda: swept.slow_starts)
        one.send_signal(number)
        said = one.communicate()[0]
    jobs = [job for job, state in cluster.jobs().items() if state in ("RUNNING", "PENDING")]
    assert len(jobs) == 2
    if number == signal.SIGINT:
        assert one.returncode == 130
        assert (
            f"2 jobs stay with Slurm, and the same command waits for them. To end them: scancel {jobs[0][:-2]}" in said
        )
    assert swept(quick()) == 0
    assert "Submitted" not in swept.said
    assert len(swept.starts) == 4, "no cell was run twice"
    assert [row["status"] for row in swept.rows] == ["ok"] * 4


def test_two_launchers_on_one_folder_submit_each_group_once(cluster: Cluster, tmp_path: Path) -> None:
    both = [Swept(tmp_path), Swept(tmp_path)]
    threads = [threading.Thread(target=each, args=(quick(cell_s=0.5),)) for each in both]
    before = len(cluster.jobs())
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cluster.jobs()) == before + 2
    assert len(both[0].starts) == 4
    assert all("4/4 LeNet" in each.said for each in both)


def test_more_gpus_than_any_node_has_are_not_asked_for_since_slurm_would_refuse_the_job(
    cluster: Cluster, tmp_path: Path
) -> None:
    swept = Swept(tmp_path, QUICK.replace("[0, 1]", "[1]") + "gpus = 8\n")
    assert swept(quick(resources=Resources(partition="gpu"))) == 0
    shown = cluster("scontrol", "show", "job", "-o").splitlines()
    assert [line.partition("TresPerNode=")[2].strip() for line in shown if "TresPerNode" in line] == ["gres:gpu:4"]


def test_a_plan_shows_the_script_that_sbatch_would_get_and_submits_nothing(cluster: Cluster, swept: Swept) -> None:
    before = len(cluster.jobs())
    text = "\n".join(
        script_lines(parse_resources(["time=600", "mem=1G"]), swept.plan, swept.plan.cells, swept.results, done=())
    )
    assert "2 jobs, one a group, by sbatch:" in text
    for line in ("array=0-1%2", "exclusive", "mem=1G", "partition=cpu", "requeue", "time=600", "nodes=1"):
        assert f"    #SBATCH --{line}\n" in text
    assert "-m submitit.core._submit" in text
    on_gpus = "\n".join(
        script_lines(parse_resources(["partition=gpu"]), swept.plan, swept.plan.cells[:1], swept.results, done=())
    )
    assert "1 job, one a group" in on_gpus
    for line in ("gpus-per-node=1", "cpus-per-task=1", "partition=gpu", "time=250"):
        assert f"    #SBATCH --{line}\n" in on_gpus
    assert "array" not in on_gpus
    assert "exclusive" not in on_gpus
    assert len(cluster.jobs()) == before
    assert not swept.results.exists()


def test_what_sbatch_refuses_is_one_line_and_leaves_nothing_to_wait_for(cluster: Cluster, swept: Swept) -> None:
    with pytest.raises(RequestError, match=r"^sbatch refuses the jobs: .*[Nn]ode.*; change --slurm key=value$"):
        swept(quick(resources=Resources(nodelist="nowhere")))
    assert not Ledger.of(swept.folder).arrays
    with pytest.raises(RequestError, match="no such partition here"):
        swept(quick(resources=Resources(partition="fast")))
