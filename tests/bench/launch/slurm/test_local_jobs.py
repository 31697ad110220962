"""`--slurm cluster=local`: the same jobs as processes of this machine, through submitit's local executor."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ampbench.bench.launch.slurm.ledger import Ledger
from ampbench.bench.launch.slurm.resources import Resources
from ampbench.bench.launch.slurm.task import job_id_here
from ampbench.bench.plan.errors import RequestError
from tests.bench.launch.slurm.conftest import Swept, quick, wait_until
from tests.conftest import ROOT

LOCAL = Resources(cluster="local")


def jobs_of(swept: Swept) -> list[psutil.Process]:
    """Return the processes that still have to do with an experiment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if process.pid != os.getpid() and "submitit" in " ".join(words) and str(swept.folder) in " ".join(words):
            found.append(process)
    return found


def test_every_cell_is_run_once_and_a_board_has_one_job_at_a_time(swept: Swept) -> None:
    assert swept(quick(resources=LOCAL, cell_s=0.2)) == 0
    assert sorted(swept.starts) == sorted(map(str, swept.plan.cells))
    assert {start[-2:] for start in swept.starts[:2]} in ({"s0"}, {"s1"}), "one group after the other"
    assert [row["status"] for row in swept.rows] == ["ok"] * 4
    assert not Ledger.of(swept.folder).arrays
    wait_until(lambda: not jobs_of(swept))


@pytest.mark.whole
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_job_outlives_a_launcher_that_is_killed_and_not_one_that_is_interrupted(
    swept: Swept, number: signal.Signals
) -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path; from tests.bench.launch.slurm.conftest import Swept, quick\n"
        "from tests.bench.launch.slurm.test_local_jobs import LOCAL\n"
        f"swept = Swept(Path({str(swept.results.parent)!r}))\n"
        "code = swept(quick(resources=LOCAL, cell_s=4.0)); print(swept.said); raise SystemExit(code)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True
    ) as one:
        wait_until(lambda: swept.slow_starts)
        one.send_signal(number)
        said = ""
        if number == signal.SIGINT:
            said = one.communicate()[0]
            assert one.returncode == 130
    if number == signal.SIGINT:
        assert "1 job of this machine was ended; the same command goes on" in said
        wait_until(lambda: not jobs_of(swept))
    assert swept(quick(resources=LOCAL)) == 0
    assert len(swept.starts) == (4 if number == signal.SIGKILL else 5)
    assert [row["status"] for row in swept.rows] == ["ok"] * 4
    wait_until(lambda: not jobs_of(swept))


def test_a_store_that_cannot_be_written_is_one_line_before_any_job_is_started(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, value: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr("ampbench.bench.launch.slurm.ledger.write_json", refuse)
    with pytest.raises(
        RequestError, match=r"jobs\.json: cannot be written \(Read-only file system\); make it writable"
    ):
        swept(quick(resources=LOCAL))
    assert not swept.starts
    wait_until(lambda: not jobs_of(swept))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "12"}, "12"),
        ({"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "13", "SLURM_ARRAY_JOB_ID": "12"}, "12_1"),
        ({"SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": "7"}, "7"),
        ({"SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": "7", "SLURM_JOB_ID": "12"}, "7"),
        ({"SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "12"}, "7"),
    ],
)
def test_a_job_knows_its_id_in_whatever_other_job_it_was_started(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str
) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SUBMITIT_LOCAL_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (environ | {"SLURM_ARRAY_TASK_ID": "1"}).items():
        monkeypatch.setenv(name, value)
    assert job_id_here() == expected
