"""A compiled cell: its compiler has a clock and a cache of its own, and its numbers are the same."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.train.compiler import CACHES, cache_of_its_own, compiled
from ampbench.bench.train.statuses import Unsupported
from ampbench.bench.worker.measurement import Measurement
from tests.support.experiments import GOOD
from tests.support.measuring import plain, row_of

CPU = torch.device("cpu")


def measurement_of(mode: str) -> Measurement:
    cell = Cell(
        model="tests.support.failing:Tiny",
        data="digits",
        augment=(),
        batch_size=512,
        epochs=2,
        precision=RECIPES["fp32"],
        compile=mode,  # type: ignore[arg-type]
    )
    return Measurement(cell, MeasurementProtocol(passes=()), CPU, lambda **_: None)


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.whole)])
def test_a_compiled_training_is_the_same_within_rounding_and_its_compiler_is_off_the_clock(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first backend traces the same graphs, and writes no C++."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    eager, fast = measurement_of("none"), measurement_of("default")
    eager.take()
    with cache_of_its_own(tmp_path):
        fast.take()
    losses = [[step["loss"] for step in plain(measurement.outcome.traces.steps)] for measurement in (eager, fast)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert row_of(fast)["compile_s"] > 0
    assert row_of(fast)["train_s"] < row_of(fast)["compile_s"], "four steps of a toy take less than a compiler"
    assert row_of(eager)["compile_s"] is None
    assert row_of(fast)["warmup_steps"] + sum(b.num_steps for b in fast.timing.clock.blocks if b.steady) == 4
    assert row_of(fast)["dtype_check"] == row_of(eager)["dtype_check"]


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
@pytest.mark.whole
def test_a_compiled_network_keeps_its_layers_in_fp32(tmp_path: Path) -> None:
    """Its middle layer overflows in fp16; compiled in one graph, it trains as without the compiler."""
    recipe = Recipe(name="kept", compute="fp16", keep_fp32=("trouble",))
    cell = Cell(
        model="tests.support.one_layer:Overflows",
        data="digits",
        image_size=8,
        augment=(),
        batch_size=512,
        epochs=2,
        precision=recipe,
        num_threads=1,
    )
    eager, fast = (
        Measurement(replace(cell, compile=mode), MeasurementProtocol(passes=()), CPU, lambda **_: None)  # type: ignore[arg-type]
        for mode in ("none", "default")
    )
    eager.take()
    with cache_of_its_own(tmp_path):
        fast.take()
    losses = [[step.loss for step in one.outcome.traces.steps] for one in (eager, fast)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
    import torch._dynamo

    assert not torch._dynamo.utils.counters["graph_break"]


def test_the_compiler_leaves_nothing_behind_and_finds_nothing_of_another_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", "/somewhere")
    left = tmp_path / "compiled" / "kernel.cpp"
    left.parent.mkdir()
    left.touch()
    with cache_of_its_own(tmp_path):
        assert not left.exists()
        assert {Path(os.environ[name]).parent for name in CACHES} == {left.parent}
        left.parent.mkdir()
    assert not left.parent.exists()
    assert [os.environ.get(name) for name in CACHES] == [None, "/somewhere"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ('compile = "default"\ndrop_last = false', "compiled again, in a step that is timed"),
        ('compile = "reduce-overhead"\naccumulation = 2', "a CUDA graph overwrites the gradients"),
        ('compile = "fast"', "compile"),
    ],
)
def test_what_could_not_be_told_apart_is_refused(fields: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        make_plan(parse_experiment(Path("trial.toml"), GOOD + fields))


def test_without_a_compiler_a_compiled_cell_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unsupported, match=r"found no compiler: install g\+\+"):
        compiled(torch.nn.Linear(1, 1), measurement_of("default").cell, CPU)
