"""An array on its way to sbatch: whatever sbatch prints, however it ends, and whoever is killed meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ampbench.bench.launch.slurm import partitions
from ampbench.bench.launch.slurm.ledger import Array, Job, Ledger
from ampbench.bench.launch.slurm.partitions import Partition, fields_of
from ampbench.bench.launch.slurm.preview import script_lines
from ampbench.bench.launch.slurm.resources import Resources, parse_resources
from ampbench.bench.launch.slurm.sbatch import environment_of_sbatch, submit
from ampbench.bench.launch.slurm.scheduler import Slurmctld
from ampbench.bench.launch.slurm.script import executor_of, parameters
from ampbench.bench.launch.slurm.states import states_of
from ampbench.bench.plan.errors import RequestError
from tests.bench.launch.slurm.conftest import QUICK, Swept

pytest.importorskip("submitit")

ARRAY = Array(
    name="trial-1f", cluster="slurm", jobs=(Job(group_id="a", task=0, boards=()), Job(group_id="b", task=1, boards=()))
)

VALUES = {"time": 60, "partition": "cpu", "job_name": "trial-1f", "array_parallelism": 2, "use_srun": False}

PARTITION = Partition(name="cpu", most_gpus=0, fewest_cores=2, limit_min=600, most_cores=8)


def program(folder: Path, name: str, *lines: str) -> None:
    """Write one of Slurm's commands."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("\n".join(["#!/bin/bash", *lines, ""]))
    path.chmod(0o755)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of Slurm's commands: an sbatch that takes every script, and a squeue that knows no job."""
    folder = tmp_path / "bin"
    program(folder, "srun")
    program(folder, "sbatch", "echo 12")
    program(folder, "squeue")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "jobs").iterdir())


NAMED = ["12_0_submitted.pkl", "12_1_submitted.pkl", "12_submission.sh"]


@pytest.mark.parametrize(
    "lines",
    [
        ["echo 12"],
        ["echo '12;north'"],
        ["echo 'NOTE: your last job 77 was slow'", "echo 'sbatch: job 3 of 10' >&2", "echo 12"],
    ],
)
def test_the_id_is_what_sbatch_says_and_no_other_number_that_a_cluster_prints(
    commands: Path, tmp_path: Path, lines: list[str]
) -> None:
    program(commands, "sbatch", *lines)
    assert submit(tmp_path, ARRAY, [os.getpid, os.getpid], VALUES).array_id == "12"
    assert left(tmp_path) == NAMED
    assert "#SBATCH --array=0-1%2\n" in (tmp_path / "jobs" / "12_submission.sh").read_text()


@pytest.mark.parametrize("lines", [["echo Done."], ["sleep 60"]], ids=["says no id", "does not end"])
def test_jobs_of_which_sbatch_says_no_id_are_found_by_their_name(
    commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    monkeypatch.setattr(partitions, "ANSWER_S", 0.5)
    program(commands, "sbatch", *lines)
    with pytest.raises(RequestError, match=r"^sbatch"):
        submit(tmp_path, ARRAY, [os.getpid, os.getpid], VALUES)
    assert not left(tmp_path)
    program(commands, "squeue", 'echo "Welcome to North"', 'echo "12|trial-1f"')
    assert submit(tmp_path, ARRAY, [os.getpid, os.getpid], VALUES).array_id == "12"
    assert left(tmp_path) == NAMED


def test_what_sbatch_refuses_is_said_once_and_leaves_nothing(
    commands: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program(
        commands, "sbatch", 'echo "sbatch: error: Job violates accounting/QOS policy (job submit limit)" >&2; exit 1'
    )
    with pytest.raises(
        RequestError,
        match=r"^sbatch refuses the jobs: Job violates .*limit\); change --slurm key=value, or .*--shard 0/2$",
    ):
        submit(tmp_path, ARRAY, [os.getpid, os.getpid], VALUES)
    assert not left(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_tasks_of_a_launcher_that_was_killed_within_sbatch_are_there_when_the_next_one_finds_their_jobs(
    commands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(commands, "sbatch", 'kill -9 "$PPID"')
    if (pid := os.fork()) == 0:
        submit(tmp_path, ARRAY, [os.getpid, os.getpid], VALUES)
    os.waitpid(pid, 0)
    program(commands, "squeue", 'echo "12|trial-1f"')
    assert Slurmctld(folder=tmp_path).find(ARRAY) == "12"
    assert left(tmp_path) == NAMED
    program(commands, "squeue")
    (tmp_path / "jobs" / "trial-1f_0.task").touch()
    assert Slurmctld(folder=tmp_path).find(ARRAY) is None
    assert left(tmp_path) == NAMED, "what was not submitted is deleted"


def test_the_script_counts_and_no_variable_that_a_person_or_another_job_has_set() -> None:
    environ = {"SBATCH_PARTITION": "gpu", "SBATCH_JOB_NAME": "x", "SLURM_ARRAY_JOB_ID": "5", "SBATCH_ACCOUNT": "me"}
    kept = environment_of_sbatch(environ | {"HOME": "/"}, VALUES)
    assert kept == {"SBATCH_ACCOUNT": "me", "HOME": "/"}, "sbatch would prefer the variables"
    assert environment_of_sbatch(environ, {**VALUES, "account": "you"}) == {}


def test_a_line_of_setup_that_fails_ends_the_job(tmp_path: Path) -> None:
    runs = Swept(tmp_path, QUICK).groups
    for line, is_failing in (("true # not false", False), ("no-such-command", True), ("false; (exit 3)", True)):
        values = parameters(parse_resources([f"setup={line}"]), runs, "trial", PARTITION)
        code = "\n".join([values["setup"][0], "exit 0"])
        program(tmp_path, "job.sh", code)
        assert os.waitstatus_to_exitcode(os.system(f"{tmp_path}/job.sh >/dev/null 2>&1")) == is_failing


def test_jobs_that_may_run_at_once_are_counted_over_all_arrays(tmp_path: Path) -> None:
    runs = Swept(tmp_path, QUICK).groups
    limited = parameters(Resources(array_parallelism=2), runs, "trial", PARTITION, after=("11", "12"))
    assert limited["dependency"] == "afterany:11:12"
    assert "dependency" not in parameters(Resources(array_parallelism=2), runs, "trial", PARTITION)
    assert "dependency" not in parameters(Resources(), runs, "trial", PARTITION, after=("11",))


@pytest.mark.parametrize("folder", ["50%a", "100%", "back\\slash", "two\nlines"])
def test_a_folder_in_which_no_job_could_write_its_output_is_refused(
    commands: Path, tmp_path: Path, folder: str
) -> None:
    with pytest.raises(
        RequestError, match=r"--launcher slurm cannot write there, .*name another folder with --results"
    ):
        executor_of("slurm", tmp_path / folder / "slurm", {})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["time=1-0"], r"^--slurm time=…: 1440 minutes, and partition cpu gives a job 600 at most; give less"),
        (["cpus_per_task=9"], r"^--slurm cpus_per_task=9: a node of partition cpu has 8 at most; give fewer"),
    ],
)
def test_what_no_node_of_a_partition_gives_is_refused_since_slurm_would_let_it_wait_for_ever(
    words: list[str], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        PARTITION.refuse(parse_resources(words))
    PARTITION.refuse(parse_resources(["time=600", "cpus_per_task=8"]))
    PARTITION.refuse(parse_resources(["time=1-0", "qos=long"]))


def test_a_plan_shows_what_would_be_submitted_beside_what_is_queued_already(commands: Path, tmp_path: Path) -> None:
    program(commands, "sinfo", "echo 'cpu*|(null)|2|1:00:00|0/1'")
    program(commands, "scontrol", "echo 'MaxArraySize            = 1'")
    program(commands, "squeue", "echo '12|RUNNING|n1|None'")
    swept = Swept(tmp_path, QUICK.replace("[0, 1]", "[0, 1, 2]"))
    job = Job(group_id=swept.groups[0][0].cell.group_id, task=0)
    with (ledger := Ledger.of(swept.folder)).changing():
        ledger.add(Array(name="trial-2", cluster="slurm", array_id="12", jobs=(job,)))
    text = "\n".join(script_lines(Resources(), swept.plan, swept.plan.cells, swept.results, done=()))
    assert "Queued or at work already: 1 group, in 12; the command waits for them." in text
    assert text.count("1 job, one a group, by sbatch:") == 2
    assert text.count("#SBATCH --time=60\n") == 2


def test_lines_that_a_cluster_adds_to_what_slurm_prints_are_no_jobs(commands: Path) -> None:
    program(commands, "squeue", 'echo "Welcome to North"', 'echo "12|RUNNING|n1|None"')
    assert states_of(["12"])["12"].word == "RUNNING"
    assert fields_of("Welcome\na|b\n\na|b|c\n", 2) == [["a", "b"], ["a", "b|c"]]
