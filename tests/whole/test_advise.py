"""An advice as a process: real cells, kill -9 at five moments, and the same command to its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ampbench.schema.choices import read_choices
from tests.conftest import ROOT
from tests.whole.line import records, survivors, wait_until

pytestmark = pytest.mark.whole

MOMENTS = (1, 4, 7, 9, 12)
"""Records that are there when it is killed: in trials of the batch size, then in rounds of timing."""


def test_an_advice_that_was_killed_at_five_moments_keeps_every_cell_and_every_choice(tmp_path: Path) -> None:
    file = tmp_path / "x"  # `line` looks below results/ beside it
    folder = tmp_path / "results" / "advise-LeNet"
    command = [sys.executable, "bench/advise.py", "--model", "LeNet", "--data", "digits", "--num-threads", "1"]
    command += ["--minutes", "3", "--recipes", "fp32,bf16_amp", "--results", str(tmp_path / "results")]
    kept: dict[Path, int] = {}
    chosen: dict[tuple[str, str], object] = {}
    for moment in MOMENTS:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda m=moment, p=process: len(records(file)) >= m or p.poll() is not None)
        process.kill()
        process.wait()
        wait_until(lambda: not survivors(file), 120)
        assert kept.items() <= records(file).items(), "a finished cell was run again"
        now = {(one.field, one.subject): one.value for one in read_choices(folder)}
        assert chosen.items() <= now.items(), "what was chosen is not chosen again"
        kept, chosen = records(file), now
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert kept.items() <= records(file).items(), "a finished cell was run again"
    assert chosen.items() <= {(one.field, one.subject): one.value for one in read_choices(folder)}.items()
    assert "LeNet on " in done.stdout
    assert "Batch " in done.stdout
    assert (folder / "report.html").exists()
