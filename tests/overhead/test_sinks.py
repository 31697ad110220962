"""What a sink costs the loop beside it, in two ways.

The ratio: the same loop whose reports nobody hears, interleaved with one that is heard. It holds whatever a sink may do
to a loop, and a machine whose rounds spread by 7 % does not tell one per cent of it in an hour.

The account: the seconds in which the loop hands its reports on, and the CPU seconds of all processes of the sink, as a
share of the loop's time. It is what a loop would lose if every one of those seconds were taken from it, which two cores
and the children's lowest priority forbid, so it is the most that a sink costs. What it leaves out is that a child may
push the loop's data out of a cache.

Reports are handed on in the loop's own process, which is more than a launcher does to a worker.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.sinks.live import EVERY_S, Live
from ampbench.bench.sinks.sink import SINKS
from ampbench.bench.store.run import Run
from ampbench.bench.train.images.images import load_images
from tests.overhead.interleave import Ratio, compare
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
        account = Account(live, run)
        heard = harness("SmallCifarNet", "fp32", images, report=account.told)
        unheard = harness("SmallCifarNet", "fp32", images)
        result = benchmark.pedantic(
            compare,
            args=(lambda: account.of(heard, num_steps), lambda: unheard(num_steps)),
            kwargs={"rounds": 16, "clock": lambda work: work()},
            rounds=1,
        )
        assert not list(live.complaints())
    title = SINKS[name].title
    judge(f"a loop as fast beside {title}", result[0], at_least=0.99, control=result[1])
    assert account.num_told > 0
    judge(f"what {title} leaves a loop at least", Ratio.of(account.kept), at_least=0.99)


class Account:
    """What a sink takes while a loop runs, as if it took all of it from the loop that is heard."""

    def __init__(self, live: Live, run: Run) -> None:
        self.live, self.run = live, run
        self.told_s, self.num_told = 0.0, 0
        self.begun: list[float] = []
        """Seconds taken when each heard loop began."""
        self.heard_s: list[float] = []

    def told(self, **facts: Any) -> None:
        """Hand a report on."""
        begun_s = time.perf_counter()
        self.live.told(self.run, facts)
        self.told_s += time.perf_counter() - begun_s
        self.num_told += 1

    def of(self, loop: Callable[[int], float], num_steps: int) -> float:
        """Run the loop that is heard; return the seconds that it timed."""
        self.begun.append(self.told_s + children_cpu_s())
        self.heard_s.append(loop(num_steps))
        return self.heard_s[-1]

    @property
    def kept(self) -> list[float]:
        """A loop's share of its time; what the sink does until the next heard loop begins is counted to it, too."""
        taken = itertools.pairwise(self.begun)
        return [1 - (after - before) / loop_s for (before, after), loop_s in zip(taken, self.heard_s, strict=False)]


def children_cpu_s() -> float:
    """Seconds of CPU of all processes that this one has started."""
    times = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    return sum(each.user + each.system for each in times)


def wait_until_loaded(live: Live, run: Run, folder: Path) -> None:
    """Wait until the child has begun to write the run, so that no import falls into the first rounds."""
    live.told(run, {"step": 1, "loss": 1.0, "images_per_s": 1.0})
    deadline_s = time.monotonic() + 120
    while not any(path for place in ("wandb", "swanlog", "tensorboard") for path in folder.glob(f"{place}/*")):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    time.sleep(EVERY_S)
