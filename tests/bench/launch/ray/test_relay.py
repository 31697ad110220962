"""A relay and its engine, without Ray between them and the launcher: a cell from the request to its files."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from ampbench.bench.launch.cluster.assignment import Assignment, Said
from ampbench.bench.launch.cluster.versions import Versions, switches_of
from ampbench.bench.launch.ray.code import Code
from ampbench.bench.launch.ray.look import Found, Look
from ampbench.bench.launch.ray.relay import Relay
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.run import Run


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    """One for all tests here: its engine loads torch once."""
    code = Code()
    made = Relay(code.root, code.folder, code.archive, {"AMPBENCH_CPU_BOARDS": "2", "OMP_NUM_THREADS": "7"})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "getppid", os.getpid)  # it takes the niceness of its parent, which is here whoever tests
        yield made
    if made.engine is not None:
        made.engine.kill()
        made.engine.wait()


def said_of(relay: Relay, asked: Any, token: str) -> list[Said]:
    said: list[Said] = [pickle.loads(one) for one in relay.ask(pickle.dumps(asked), token)]
    while said[-1].kind != "finished":
        said += [pickle.loads(one) for one in relay.next()]
    return said


def test_a_node_says_what_it_has_and_whether_its_code_is_the_same(relay: Relay) -> None:
    assert relay.has(Code().digest)
    assert not relay.has("another")
    [answer] = relay.ask(pickle.dumps(Look(switches=switches_of(os.environ))), "")
    found: Found = pickle.loads(answer)
    assert found.because == ""
    assert [board.board_id for board in found.boards] == ["cpu:0/2", "cpu:1/2"]
    assert found.versions == Versions.here()
    assert found.cores == os.sched_getaffinity(0)
    assert found.niceness == os.getpriority(os.PRIO_PROCESS, 0)


def test_a_cell_is_run_as_here_and_its_files_come_back_where_the_folder_is_not_seen(
    relay: Relay, tmp_path: Path
) -> None:
    cell = Cell(
        model="tests.support.tiny:Net",
        data="digits",
        image_size=8,
        precision=RECIPES["fp32"],
        batch_size=512,
        num_threads=1,
        epochs=1,
    )
    run = Run(
        folder=tmp_path / "x" / "runs" / cell.run_folder,
        cell=cell,
        protocol=MeasurementProtocol(passes=()),
        budget=Budget(),
        board=Board(board_id="cpu"),
        order=1,
        command="c",
    )
    switches = {**switches_of(os.environ), "OMP_NUM_THREADS": "1"}
    asked = Assignment(runs=(run,), place="n1", gpus="1", switches=switches, versions=Versions.here())
    said = said_of(relay, asked, str(tmp_path / "no-such-token"))
    kinds = [one.kind for one in said if one.kind not in ("told", "line")]
    assert kinds == ["started", "ended", "finished"], said
    [ended] = [one for one in said if one.kind == "ended"]
    assert ended.facts["status"] == "ok", ended.facts
    assert [str(board) for board in ended.boards] == ["n1 cpu:1/2"]
    assert {"record.parquet", "log.txt"} <= ended.files.keys()
    assert not run.folder.exists()
    [row] = pq.read_table(io.BytesIO(ended.files["record.parquet"])).to_pylist()
    assert '"OMP_NUM_THREADS": "1"' in row["switches"], "not that of the scheduler"
    assert row["board"] == "cpu:1/2"


def test_an_engine_and_all_it_started_end_with_their_relay(relay: Relay) -> None:
    assert relay.engine is not None
    started = psutil.Process(relay.engine.pid).children(recursive=True)
    assert started, "the fork server"
    assert relay.engine.stdin is not None
    relay.engine.stdin.close()  # as the kernel does when the relay is killed
    relay.engine.wait(60)
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive
    with pytest.raises(RuntimeError, match=r"^its engine ended with exit code 1"):
        relay.ask(b"", "")
