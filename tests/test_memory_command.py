"""`python -m ampbench memory FILE`: snapshots of anybody, made on the spot, against torch's own way of counting."""

from __future__ import annotations

import gzip
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampbench.bench.measure.memory_history import digest, read_snapshot
from ampbench.bench.plan.errors import RequestError
from ampbench.memory import in_words, main
from tests.fuzz.conftest import drawn
from tests.support.snapshots import BACKWARD, FIXTURE, FORWARD, Allocator, random_history, stack, steps
from tests.test_ampbench import ampbench_here

Snapshot = dict[str, Any]
NEW_WORKSPACE = {"filename": "CublasHandlePool.cpp", "line": 0, "name": "at::cuda::getNewWorkspace()"}


def viewer_peak(snapshot: Snapshot, device: int) -> int:
    """The highest point that torch's viewer draws: `process_alloc_data` of torch/utils/viz/MemoryViz.js, in Python."""
    sizes: list[int] = []
    first: list[int] = []
    actions: list[int] = []
    live: dict[int, int] = {}
    for event in snapshot["device_traces"][device]:
        if event["action"] == "alloc":
            live[event["addr"]] = len(sizes)
            actions.append(len(sizes))
            sizes.append(event["size"])
        elif event["action"] in ("free", "free_completed"):
            if event["addr"] in live:
                actions.append(live.pop(event["addr"]))
            else:  # it was there before the first event
                first.append(len(sizes))
                actions.append(len(sizes))
                sizes.append(event["size"])
    for segment in snapshot["segments"]:
        for block in segment["blocks"] if segment["device"] == device else ():
            if block["state"].startswith("active") and block["address"] not in live:
                first.append(len(sizes))
                sizes.append(block["requested_size"])
    there = set(first)
    level = peak = sum(sizes[element] for element in there)
    for element in actions:
        level += -sizes[element] if element in there else sizes[element]
        there ^= {element}
        peak = max(peak, level)
    return peak


@pytest.mark.parametrize("seed", range(20))
def test_the_peak_is_the_one_that_torchs_viewer_draws(seed: int) -> None:
    snapshot = random_history(2_000, seed).snapshot(device=seed % 3)
    assert digest(snapshot, seed % 3).peak.allocated_bytes == viewer_peak(snapshot, seed % 3)


def test_the_peak_of_a_training_is_too() -> None:
    for fails in (False, True):
        snapshot = steps(4, fails=fails)[0].snapshot()
        assert digest(snapshot).peak.allocated_bytes == viewer_peak(snapshot, 0)


def of_torch_2_1(snapshot: Snapshot) -> Snapshot:
    """As torch 2.1 wrote it: no times, no annotations; the block's address follows from its place."""
    for trace in snapshot["device_traces"]:
        for event in trace:
            del event["time_us"]
    del snapshot["external_annotations"]
    return snapshot


def test_files_without_time_stamps_are_read() -> None:
    snapshot = of_torch_2_1(random_history(500, 1).snapshot())
    found = digest(snapshot)
    assert found.peak.allocated_bytes == viewer_peak(snapshot, 0)
    assert " ms" not in in_words(found, "", "old.pickle")
    assert "500 events" in in_words(found, "", "old.pickle")


def test_blocks_without_address_and_requested_size_are_read() -> None:
    snapshot: Snapshot = {
        "segments": [{"device": 0, "address": 4096, "blocks": [
            {"size": 512, "state": "active_allocated", "history": []}, {"size": 1024, "state": "inactive"},
            {"size": 2048, "state": "active_allocated"},
        ]}],
        "device_traces": [[{"action": "alloc", "addr": 4096 + 1536, "size": 2000, "frames": []}]],
    }  # fmt: skip
    assert digest(snapshot).peak.allocated_bytes == 512 + 2000


@pytest.mark.parametrize("frames", [[NEW_WORKSPACE, *FORWARD], [NEW_WORKSPACE], [*BACKWARD, NEW_WORKSPACE]])
def test_cublas_workspaces_are_a_category_of_their_own(frames: list[dict[str, Any]]) -> None:
    memory = Allocator()
    memory.alloc(1234, FORWARD)
    memory.alloc(32 << 20, frames)
    held = {h.category: h.allocated_bytes for h in digest(memory.snapshot()).peak.composition}
    assert held == {"activations": 1234, "cuBLAS workspace": 32 << 20}


def test_cublas_workspaces_are_told_by_their_size_where_no_cpp_stack_is() -> None:
    memory = Allocator()
    memory.before(8_519_680)
    memory.alloc(8_519_680, stack("torch/nn/modules/linear.py:134 forward"))
    memory.alloc(8_519_680 + 512, stack("torch/nn/modules/linear.py:134 forward"))
    held = sorted(h.category for h in digest(memory.snapshot()).peak.composition)
    assert held == ["activations", "cuBLAS workspace", "cuBLAS workspace"]


def test_a_known_address_beats_the_size() -> None:
    memory = Allocator()
    address = memory.before(8_519_680)
    [held] = digest(memory.snapshot(), known={address: "weights"}).peak.composition
    assert held.category == "weights"


def test_where_addresses_are_not_known_it_is_said() -> None:
    memory, known = steps()
    snapshot = memory.snapshot()
    assert {row.static_known for row in digest(snapshot, known=known).allocation_rows} == {True}
    assert {row.static_known for row in digest(snapshot).allocation_rows} == {False}
    said = in_words(digest(snapshot), "", "x.pickle")
    assert "The addresses of weights, gradients and optimizer state are not known here" in said


def test_the_command_prints_peak_and_tables_and_draws_the_line(tmp_path: Path) -> None:
    said = ampbench_here("memory", FIXTURE, "--out", tmp_path / "memory.png", cwd=tmp_path)
    assert said.exit_code == 0, said.stderr
    found = digest(read_snapshot(FIXTURE))
    assert f"after event {found.peak.event:,}" in said.stdout
    assert "Out of memory: 1,024.0 MiB could not be allocated at event 55" in said.stdout
    for holding in found.peak.composition:
        assert holding.category in said.stdout
        assert holding.call_site in said.stdout
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


def test_another_device_than_the_first_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "second.pickle"
    snapshot = steps()[0].snapshot(device=1)
    snapshot["device_traces"][0] = [{"action": "snapshot", "size": 0, "addr": 0, "time_us": 1, "frames": []}]
    path.write_bytes(gzip.compress(pickle.dumps(snapshot, protocol=4)))
    main(path)
    said = capsys.readouterr().out
    assert "device 1: 54 events" in said
    assert "; there is also --device 0 with 1" in said
    main(path, device=0)
    assert "device 0: 1 events" in capsys.readouterr().out
    with pytest.raises(RequestError, match=r"second\.pickle: the snapshot has 2 devices and none with index 7"):
        main(path, device=7)


def test_a_snapshot_without_a_history_says_what_was_live(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    memory = Allocator()
    memory.before(5 << 20)
    (tmp_path / "x.pickle").write_bytes(pickle.dumps(memory.snapshot()))
    main(tmp_path / "x.pickle")
    said = capsys.readouterr().out
    assert "No history was recorded before this snapshot" in said
    assert "Peak: 5 MiB" in said


@drawn(1000, 60)
@given(data=st.data())
def test_a_damaged_file_is_one_line(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(FIXTURE.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pickle"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    refusal = ""
    try:
        main(path)
    except RequestError as e:
        refusal = str(e)
    assert not refusal or re.match(rf"{path}: ", refusal)
