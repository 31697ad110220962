"""A cell on several GPUs, as processes on this CPU: what ranks compute together, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from ampbench.bench.launch.fork_server import start_worker
from ampbench.bench.launch.group_queue import _free_team, run_groups
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.run import Run
from ampbench.bench.train.evaluation import evaluate
from ampbench.bench.train.ranks import ALONE, Ranks
from tests.support.tiny import Net

TWO = Cell(
    model="LeNet",
    data="digits",
    precision=RECIPES["fp32"],
    batch_size=32,
    gpus=2,
    epochs=1,
    augment=(),
    num_threads=1,
)
GPUS = [Board(board_id=f"GPU-{i}", name="H100") for i in range(3)]

Start = Callable[..., "Started"]

whole = partial(pytest.param, marks=pytest.mark.whole)


class Started:
    """A worker, and what it said."""

    def __init__(self, context: Any, run: Run) -> None:
        self.run = run
        run.save()
        self.process, self.messages = start_worker(context, run)
        self.said: list[dict[str, Any]] = []

    def wait_for(self, **wanted: Any) -> None:
        """Listen until it says so."""
        while not self.said or any(self.said[-1].get(key) != value for key, value in wanted.items()):
            assert self.messages.poll(300), f"silent since {self.said[-1:]}; {self.log}"
            self.said.append(self.messages.recv())

    def row(self) -> dict[str, Any]:
        self.process.join(300)
        assert self.run.record_path.exists(), self.log
        return pq.read_table(self.run.record_path).to_pylist()[0]  # type: ignore[no-any-return]

    def epochs(self) -> list[dict[str, Any]]:
        return pq.read_table(self.run.folder / "epochs.parquet").to_pylist()  # type: ignore[no-any-return]

    @property
    def log(self) -> str:
        return (self.run.folder / "log.txt").read_text()


@pytest.fixture(scope="module")
def context() -> Any:
    """Fork this process, which has loaded torch too: a fork server would load it once more."""
    return multiprocessing.get_context("fork")


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Run]:
    def make(cell: Cell, name: str = "x", **budget: Any) -> Run:
        return Run(
            folder=tmp_path / name / "runs" / cell.run_folder,
            cell=cell,
            protocol=MeasurementProtocol(passes=("phases",)),
            budget=Budget(**budget),
            board=Board(board_id="cpu"),
            order=1,
            command="python bench/run_matrix.py x.toml",
        )

    return make


@pytest.fixture
def start(context: Any, run_of: Callable[..., Run]) -> Iterator[Start]:
    """Return a function that starts a worker; what still runs afterwards is killed."""
    started: list[Started] = []

    def begin(cell: Cell, name: str = "x", **budget: Any) -> Started:
        started.append(Started(context, run_of(cell, name, **budget)))
        return started[-1]

    yield begin
    for one in started:
        if one.process.is_alive() and one.process.pid:
            os.killpg(one.process.pid, signal.SIGKILL)


def test_two_ranks_train_as_one_process_with_the_double_batch(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)  # a worker of its own has nothing else
    shared = start(TWO)
    row = shared.row()
    assert row["status"] == "ok", (row["because"], shared.log)
    alone = start(replace(TWO, gpus=1, batch_size=64))
    expected = alone.row()
    assert (row["gpus"], row["batch_size"], row["global_batch_size"]) == (2, 32, 64)
    assert row["num_steps"] == expected["num_steps"]
    assert row["test_loss"] == pytest.approx(expected["test_loss"], rel=1e-4)
    assert row["test_accuracy"] == pytest.approx(expected["test_accuracy"], abs=0.01)
    steps = pq.read_table(shared.run.folder / "steps.parquet").to_pylist()
    assert {step["num_images"] for step in steps} == {64}
    assert row["update_ms"] > 0
    assert row["train_accuracy"] == pytest.approx(expected["train_accuracy"], abs=0.01)
    for rank in (0, 1):
        assert f"Rank {rank} loaded 360 samples (test)" in shared.log


def test_ranks_take_a_batch_in_parts_that_do_not_divide_it(start: Start) -> None:
    """12 images in 5 parts are 4; the gradients meet in the last of these."""
    row = start(replace(TWO, batch_size=12, accumulation=5)).row()
    expected = start(replace(TWO, gpus=1, batch_size=24)).row()
    assert row["status"] == "ok", row["because"]
    assert row["test_loss"] == pytest.approx(expected["test_loss"], rel=1e-3)


@pytest.mark.whole
def test_ranks_see_the_same_images_from_either_loader(start: Start) -> None:
    rows = [start(replace(TWO, loader=loader), loader).row() for loader in ("device", "dataloader")]
    assert rows[0]["status"] == rows[1]["status"] == "ok", [row["because"] for row in rows]
    assert rows[0]["test_loss"] == pytest.approx(rows[1]["test_loss"], rel=1e-5)


def evaluate_as(rank: int, meeting: Path, found: Any) -> None:
    """Be one of two ranks whose BatchNorm has seen different images, and evaluate 7."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    found.put((rank, evaluation_of_seven(rank, Ranks(rank=rank, world_size=2))))
    dist.barrier()


def evaluation_of_seven(shift: int, ranks: Ranks) -> Any:
    torch.manual_seed(0)
    model = Net()
    model.norm.running_mean.fill_(float(shift))
    x_NCHW, y_N = torch.randn(7, 3, 8, 8), torch.arange(7)
    off = torch.autocast("cpu", enabled=False)
    options: dict[str, Any] = {"prepare": lambda x: x, "loss_fn": F.cross_entropy, "autocast": off, "num_classes": 10}
    return evaluate(model, x_NCHW, y_N, batch_size=2, ranks=ranks, **options)


def test_ranks_evaluate_each_image_once_with_the_statistics_of_the_first(context: Any, tmp_path: Path) -> None:
    found = context.Queue()
    processes = [context.Process(target=evaluate_as, args=(rank, tmp_path / "meeting", found)) for rank in range(2)]
    for process in processes:
        process.start()
    evaluations = dict(found.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(120)
    alone = evaluation_of_seven(0, ALONE)
    assert evaluation_of_seven(1, ALONE).test_loss != pytest.approx(alone.test_loss, rel=1e-3)
    for evaluation in evaluations.values():
        assert evaluation.test_loss == pytest.approx(alone.test_loss, rel=1e-6)
        assert evaluation.test_accuracy == alone.test_accuracy


def test_ranks_share_the_cores_between_them(start: Start) -> None:
    row = start(replace(TWO, num_threads=0)).row()
    assert row["threads_used"] == max(1, len(os.sched_getaffinity(0)) // 2)


@pytest.mark.whole
def test_a_killed_training_of_two_ranks_goes_on_bit_for_bit(start: Start) -> None:
    """With dropout and augmentation, which each rank draws by itself, and BatchNorm, whose statistics rank 0 keeps."""
    cell = replace(TWO, model="tests.support.tiny:Net", image_size=8, augment=("crop", "flip"), epochs=3)
    whole = start(cell, "whole", checkpoint_minutes=0)
    assert whole.row()["status"] == "ok", whole.log
    broken = start(cell, "broken", checkpoint_minutes=0)
    broken.wait_for(phase="training", epoch=1)
    while not (broken.run.folder / "checkpoint.pt").exists():
        time.sleep(0.01)
    assert broken.process.pid
    os.killpg(broken.process.pid, signal.SIGKILL)
    broken.process.join()
    resumed = start(cell, "broken", checkpoint_minutes=0)
    assert resumed.row()["num_resumes"] >= 1, resumed.log
    for key in ("train_loss", "test_loss", "test_accuracy"):
        assert [e[key] for e in resumed.epochs()] == [e[key] for e in whole.epochs()], key


@pytest.mark.parametrize(
    ("model", "status", "because"),
    [
        ("OnRank1", "crashed", "rank 1 was killed by SIGKILL"),
        whole("RaisesOnRank1", "failed", 'rank 1: KeyError: "a bug of one\'s own"'),
        whole("HungryOnRank1", "oom", "out of memory at batch size 32 on rank 1: RuntimeError: "),
    ],
)
def test_a_rank_that_ends_badly_ends_the_cell_and_is_named(start: Start, model: str, status: str, because: str) -> None:
    started = start(replace(TWO, model=f"tests.support.failing:{model}"))
    row = started.row()
    assert (row["status"], row["because"][: len(because)]) == (status, because), started.log


def test_autocast_holds_on_every_rank(start: Start) -> None:
    started = start(replace(TWO, model="tests.support.failing:ThreadedOnRank1", precision=RECIPES["bf16_amp"]))
    row = started.row()
    assert row["status"] == "failed", row
    assert row["because"].startswith("rank 1: RuntimeError: dtype check: ")


@pytest.mark.whole
def test_a_rank_that_hangs_ends_at_the_deadline_of_the_cell(context: Any, run_of: Any) -> None:
    run = run_of(replace(TWO, model="tests.support.failing:HangsOnRank1"), minutes_per_cell=0.5)
    endings: list[Any] = []

    class Heard:
        def started(self, run: Run) -> None: ...
        def told(self, run: Run, facts: Any) -> None: ...
        def ended(self, run: Run, facts: Any) -> None:
            endings.append((facts["status"], facts["because"]))

    run_groups([[run]], [run.board], context=context, watcher=Heard(), oom_guard=OomGuard([]))
    assert endings[0][0] == "timeout"
    assert _of_folder(run.folder) == []


@pytest.mark.whole
def test_ranks_die_with_whoever_started_them(start: Start) -> None:
    started = start(replace(TWO, model="tests.support.failing:Slow", epochs=1000))
    started.wait_for(phase="training")
    ranks = psutil.Process(started.process.pid).children()
    assert len(ranks) == 2
    assert started.process.pid
    os.kill(started.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(ranks, timeout=60)
    assert alive == []


def test_what_cannot_be_synchronised_here_is_a_row(start: Start) -> None:
    row = start(replace(TWO, sync_batchnorm=True)).row()
    assert row["status"] == "unsupported"
    assert "synchronises BatchNorm on GPUs only" in row["because"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("gpus = 2\ndrop_last = false", "gpus = 2: GPUs need equal shares of every batch; drop drop_last = false"),
        ("sync_batchnorm = true", "gpus = 1: sync_batchnorm has nothing to synchronise; drop it"),
        (
            'gpus = 2\n[precision.kept]\nweights = "bf16"\ncompute = "bf16"\nrounding = "kahan"',
            "keeps fp32 copies of its 16-bit weights",
        ),
        ("gpus = 0", "gpus"),
    ],
)
def test_what_several_gpus_cannot_do_is_refused_before_the_start(tmp_path: Path, line: str, reason: str) -> None:
    recipe = "kept" if "kept" in line else "fp32"
    text = (
        f'question = "?"\n[fixed]\nmodel = "LeNet"\ndata = "digits"\nprecision = "{recipe}"\nbatch_size = 8\n{line}\n'
    )
    with pytest.raises(RequestError, match=reason):
        make_plan(parse_experiment(tmp_path / "x.toml", text))


def test_a_team_is_as_many_free_gpus_as_the_cell_wants_and_ranks_on_a_cpu_share_it() -> None:
    assert _free_team(2, GPUS, {}) == (GPUS[0], GPUS[1])
    assert _free_team(2, GPUS, {(GPUS[0],): []}) == (GPUS[1], GPUS[2])
    assert _free_team(2, GPUS, {(GPUS[0], GPUS[1]): []}) is None
    assert _free_team(1, GPUS, {(GPUS[0], GPUS[1]): []}) == (GPUS[2],)
    assert _free_team(8, GPUS, {(GPUS[0], GPUS[1]): []}) == (GPUS[2],), "to record that there are too few"
    assert _free_team(8, [Board(board_id="cpu")], {}) == (Board(board_id="cpu"),)


def test_more_gpus_than_there_are_is_a_row_and_the_others_go_on(run_of: Any) -> None:
    run = run_of(replace(TWO, gpus=4))
    heard: list[str] = []

    class Heard:
        def ended(self, run: Run, facts: Any) -> None:
            heard.append(facts["because"])

    nothing: Any = None
    run_groups([[run]], GPUS, context=nothing, watcher=Heard(), oom_guard=OomGuard([]))  # type: ignore[arg-type]
    assert heard == ["asks for 4 GPUs of one model, and 3 may be used here"]


def test_a_run_on_several_boards_is_read_back_whole(run_of: Any) -> None:
    run = replace(run_of(TWO), board=GPUS[0], peers=(GPUS[2],))
    run.save()
    assert Run.load(run.folder) == run
    assert run.boards == (GPUS[0], GPUS[2])


def _of_folder(folder: Path) -> list[psutil.Process]:
    """Processes that still hold a file of a run open."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in file.path for file in process.open_files()):
                found.append(process)
        except psutil.Error:
            continue
    return found
