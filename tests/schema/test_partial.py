"""Temporary names: no two writers share one, and only what nobody writes any more is deleted."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from ampbench.schema import partial as partials
from ampbench.schema.partial import partial_of, sweep

HOUR_S, DAY_S = 3600, 24 * 3600


def ended_pid() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_writers_of_one_pid_on_two_machines_and_two_writes_of_one_process_share_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cells.parquet"
    names = {partial_of(path) for _ in range(100)}
    monkeypatch.setattr(partials, "machine", lambda: "another")
    names |= {partial_of(path) for _ in range(100)}
    assert len(names) == 200
    assert all(name.parent == tmp_path for name in names)
    assert len(partial_of(path.with_name("n" * 250)).name) < 256


def test_what_a_process_of_this_machine_still_writes_stays_and_what_a_killed_one_left_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = partial_of(tmp_path / "record.parquet")
    own.touch()
    os.utime(own, (0, 0))  # a slow write
    monkeypatch.setattr(os, "getpid", lambda: pid)
    pid = 1
    alive = partial_of(tmp_path / "record.parquet")
    pid = ended_pid()
    dead = partial_of(tmp_path / "record.parquet")
    for path in (alive, dead):
        path.touch()
    (tmp_path / "record.parquet").touch()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {own.name, alive.name, "record.parquet"}


@pytest.mark.parametrize("clock_error_s", [-HOUR_S, 0, HOUR_S])
@pytest.mark.parametrize(("age_s", "goes"), [(0, False), (DAY_S - HOUR_S, False), (DAY_S + HOUR_S, True)])
def test_what_another_machine_writes_is_left_alone_for_a_day_of_the_file_systems_clock(
    clock_error_s: int, age_s: int, goes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as there:
        there.setattr(partials, "machine", lambda: "another")
        theirs = partial_of(tmp_path / "steps.parquet")
    old = tmp_path / f".steps.parquet.{ended_pid()}.partial"  # as an older version named it
    for path in (theirs, old):
        path.touch()
        os.utime(path, ns=(0, path.stat().st_mtime_ns - age_s * 10**9))
    true_s = time.time()
    monkeypatch.setattr(time, "time", lambda: true_s + clock_error_s)
    sweep(tmp_path)
    assert [path.exists() for path in (theirs, old)] == [not goes] * 2
    assert not [path for path in tmp_path.iterdir() if "clock" in path.name]


def test_a_folder_that_is_not_there_or_not_writable_is_swept_without_an_error(tmp_path: Path) -> None:
    sweep(tmp_path / "none")
    (tmp_path / "file").touch()
    sweep(tmp_path / "file")
