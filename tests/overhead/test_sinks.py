"""What a sink costs the loop beside it: the same loop whose reports nobody hears, interleaved with one that is heard.

The reports are handed on in the loop's own process, which is more than a launcher does to a worker.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.sinks.live import EVERY_S, Live
from ampbench.bench.sinks.sink import SINKS
from ampbench.bench.store.run import Run
from ampbench.bench.train.images import load_images
from tests.overhead.interleave import compare
from tests.overhead.test_training import BATCH_SIZE, DEVICE, harness


@pytest.mark.parametrize("name", SINKS)
def test_a_loop_is_as_fast_beside_a_sink(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    judge: Callable[..., None],
    benchmark: BenchmarkFixture,
) -> None:
    """Several epochs a round, so that points are due in each; the child has loaded its library before."""
    if SINKS[name].absent:
        pytest.skip(SINKS[name].absent)
    monkeypatch.setenv("WANDB_MODE", "offline")
    cell = Cell(model="SmallCifarNet", data="synthetic", precision=RECIPES["fp32"], batch_size=BATCH_SIZE, epochs=1)
    run = Run(
        folder=tmp_path / "runs" / cell.run_folder, cell=cell, protocol=MeasurementProtocol(), budget=Budget(),
        board=Board(board_id=str(DEVICE)), order=1, command="",
    )  # fmt: skip
    run.save()
    images = load_images("synthetic", 32)
    images = dataclasses.replace(
        images, train_x_NCHW=images.train_x_NCHW.repeat(2, 1, 1, 1), train_y_N=images.train_y_N.repeat(2)
    )
    num_steps = len(images.train_y_N) // BATCH_SIZE
    with Live(folder=tmp_path, names=[name]) as live:
        live.started(run)
        wait_until_loaded(live, run, tmp_path)
        heard = harness("SmallCifarNet", "fp32", images, report=lambda **facts: live.told(run, facts))
        unheard = harness("SmallCifarNet", "fp32", images)
        result = benchmark.pedantic(
            compare,
            args=(lambda: heard(num_steps), lambda: unheard(num_steps)),
            kwargs={"rounds": 48, "clock": lambda work: work()},
            rounds=1,
        )
        assert not list(live.complaints())
    judge(f"a loop as fast beside {SINKS[name].title}", result[0], at_least=0.99, control=result[1])


def wait_until_loaded(live: Live, run: Run, folder: Path) -> None:
    """Wait until the child has begun to write the run, so that no import falls into the first rounds."""
    live.told(run, {"step": 1, "loss": 1.0, "images_per_s": 1.0})
    deadline_s = time.monotonic() + 120
    while not any(path for place in ("wandb", "swanlog", "tensorboard") for path in folder.glob(f"{place}/*")):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    time.sleep(EVERY_S)
