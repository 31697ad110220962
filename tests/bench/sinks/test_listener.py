"""A child that listens: points as they are told, tables at the end, and a run that breaks stops no other."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.sinks.listener import Listener
from ampbench.bench.sinks.logged import Mark
from tests.bench.sinks.sample import EPOCHS, RUNS
from tests.bench.sinks.second import MISBEHAVES, Second


@pytest.fixture
def listener(experiment: Path) -> Listener:
    return Listener(Second(experiment, "", live=True), "second", experiment)


def told(listener: Listener, *messages: dict[str, Any], run: str = RUNS[0]) -> list[list[Any]]:
    listener.listen(json.dumps({"run": run} | message).encode() for message in messages)
    return written(listener.folder, run)


def written(folder: Path, run: str = RUNS[0]) -> list[list[Any]]:
    return [json.loads(line) for line in (folder / "second" / run).read_text().splitlines()]


def block(step: int) -> dict[str, Any]:
    return {"event": "block", "step": step, "values": {"loss": 2.0, "images_per_s": 100.0}}


def groups(lines: Iterable[list[Any]]) -> list[tuple[str, int]]:
    return [(line[0], line[1]) for line in lines]


START, END = {"event": "started"}, {"event": "ended"}
FIRST = {"event": "epoch", "values": EPOCHS[0]}


def test_a_run_is_written_as_it_is_told_and_each_epoch_once(listener: Listener, experiment: Path) -> None:
    lines = told(listener, START, block(10), FIRST, block(20), END)
    assert groups(lines) == [("live", 10), ("epoch", 1), ("live", 20), ("epoch", 2), ("end", "ok")]
    assert lines[1][2] == {name: value for name, value in EPOCHS[0].items() if name != "epoch"}
    assert Mark.read(experiment, "second", RUNS[0])


@pytest.mark.parametrize("heard", [[block(10), END], [END]], ids=["start", "all but the end"])
def test_what_was_dropped_is_no_harm_to_the_rest(
    heard: list[dict[str, Any]], listener: Listener, experiment: Path
) -> None:
    assert groups(told(listener, *heard))[-3:] == [("epoch", 1), ("epoch", 2), ("end", "ok")]
    assert Mark.read(experiment, "second", RUNS[0])


def test_a_run_that_goes_on_or_is_run_again_is_one_run(listener: Listener) -> None:
    assert groups(told(listener, START, block(10), START, FIRST, block(20))) == [
        ("epoch", 1),
        ("live", 20),
        ("end", None),
    ]


def test_a_run_without_an_end_is_broken_off_without_a_mark(listener: Listener, experiment: Path) -> None:
    assert groups(told(listener, START, block(10))) == [("live", 10), ("end", None)]
    assert not Mark.read(experiment, "second", RUNS[0])


@pytest.mark.parametrize("place", ["open", "log", "end"])
def test_a_run_that_breaks_stops_no_other(
    place: str, listener: Listener, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MISBEHAVES, f"{place}:raise")
    told_both = [{"run": run} | message for run in RUNS for message in (START, block(1), END)]
    if place == "open":  # raises for the first run only
        listener.listen(json.dumps(message).encode() for message in told_both)
        assert [bool(Mark.read(experiment, "second", run)) for run in RUNS] == [False, True]
        return
    listener.listen(json.dumps(message).encode() for message in told_both[:3])
    assert not Mark.read(experiment, "second", RUNS[0])
    monkeypatch.delenv(MISBEHAVES)
    listener.listen(json.dumps(message).encode() for message in told_both[3:])
    assert Mark.read(experiment, "second", RUNS[1])


def test_a_run_whose_record_cannot_be_read_is_left_to_be_told_of_later(listener: Listener, experiment: Path) -> None:
    (experiment / "runs" / RUNS[0] / "record.parquet").write_bytes(b"PAR1")
    assert groups(told(listener, START, block(10), END)) == [("live", 10), ("end", None)]
    assert not Mark.read(experiment, "second", RUNS[0])
