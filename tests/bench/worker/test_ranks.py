"""A cell on several GPUs, as processes on this CPU: what ranks compute together."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.train.evaluation import evaluate
from ampbench.bench.train.ranks import ALONE, Ranks
from tests.bench.worker.conftest import Start
from tests.support.tiny import Net
from tests.support.two_ranks import TWO


def test_two_ranks_train_as_one_process_with_the_double_batch(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)  # a worker of its own has nothing else
    shared = start(TWO, protocol=MeasurementProtocol(passes=("phases",), keep_final=True))
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
    kept = torch.load(shared.run.folder / "model_final.pt", weights_only=True)["model"]
    assert not [name for name in kept if name.startswith("module.")], "rank 0 takes the names that DDP adds away"


@pytest.mark.whole
def test_ranks_take_a_batch_in_parts_that_do_not_divide_it(start: Start) -> None:
    """12 images in 5 parts are 4 parts; the gradients are reduced in the last of them."""
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
    """Run one of two ranks whose BatchNorm has seen different images, and evaluate 7 images."""
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


@pytest.mark.whole
def test_ranks_share_the_cores_between_them(start: Start) -> None:
    row = start(replace(TWO, num_threads=0)).row()
    assert row["threads_used"] == max(1, len(os.sched_getaffinity(0)) // 2)


@pytest.mark.whole
def test_ranks_keep_the_same_layers_in_fp32(start: Start) -> None:
    kept = Recipe(name="kept", weights="bf16", compute="bf16", keep_fp32=("BatchNorm2d", "linear"))
    row = start(replace(TWO, model="tests.support.tiny:Net", image_size=8, precision=kept)).row()
    assert row["status"] == "ok", row["because"]
    assert "kept_layers:2/2" in row["dtype_check"]
    assert row["keep_fp32"] == "BatchNorm2d linear"


@pytest.mark.whole
def test_autocast_holds_on_every_rank(start: Start) -> None:
    started = start(replace(TWO, model="tests.support.failing:ThreadedOnRank1", precision=RECIPES["bf16_amp"]))
    row = started.row()
    assert row["status"] == "failed", row
    assert row["because"].startswith("rank 1: RuntimeError: dtype check: ")
