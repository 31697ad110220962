"""A step's time by kind of work, on networks whose step is one kind of work and on recorded kernels of a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.run import Run
from ampbench.bench.worker.cell import measure_cell
from ampbench.bench.worker.passes.profile import ProfiledStep, kind_of
from ampbench.bench.worker.passes.work import work_by_kind
from ampbench.schema.column import values_of
from ampbench.schema.speed import Speed
from ampbench.schema.work import KINDS, StepPhases, WorkByKind

Row = dict[str, Any]


@pytest.fixture
def measured(tmp_path: Path) -> Callable[..., Row]:
    """Return a function that times a cell of digits on this CPU, in this process, and returns its row."""

    def measure(model: str, recipe: str = "fp32", **fields: Any) -> Row:
        values: dict[str, Any] = {"batch_size": 64, "image_size": 32, "augment": (), "num_threads": 1} | fields
        cell = Cell(model=f"tests.support.kinds:{model}", data="digits", precision=RECIPES[recipe], **values)
        protocol = MeasurementProtocol(max_timing_s=0.2, max_warmup_s=0.1, block_ms=20)
        board = Board(board_id="cpu")
        run = Run(folder=tmp_path, cell=cell, protocol=protocol, budget=Budget(), board=board, order=1, command="x")
        run.save()
        measure_cell(run, torch.device("cpu"), lambda **_: None, 0.0)
        [row] = pq.read_table(run.record_path).to_pylist()
        assert (row["status"], row["passes_failed"]) == ("ok", None)
        return row

    return measure


def shares(row: Row) -> dict[str, float]:
    """Return kind -> share of the step; the parts must sum to it."""
    parts = {one.name.removeprefix("work_").removesuffix("_ms"): row[one.name] for one in KINDS}
    assert all(ms >= 0 for ms in parts.values()), parts
    assert sum(parts.values()) == pytest.approx(row["step_ms"])
    return {kind: ms / row["step_ms"] for kind, ms in parts.items()}


# `foreach`: a fused step of Adam takes no longer than to make its dense gradient, 0.4 GB of new pages, which is a copy.
@pytest.mark.parametrize(
    ("model", "kind", "fields"),
    [
        ("Convolutions", "matmul_conv", {"batch_size": 8}),
        ("Elementwise", "elementwise", {"batch_size": 256}),
        ("Normalisations", "normalisation", {}),
        pytest.param(
            "ManyWeights",
            "optimizer",
            {"optimizer": "adam", "optimizer_impl": "foreach", "batch_size": 4},
            marks=pytest.mark.whole,
        ),
        pytest.param(
            "HundredMillionWeights",
            "optimizer",
            {"optimizer": "adam", "optimizer_impl": "foreach", "batch_size": 4},
            marks=pytest.mark.whole,
        ),
        ("Quick", "data", {"loader": "dataloader", "num_workers": 0, "batch_size": 64, "augment": ("crop", "jitter")}),
    ],
)
def test_a_network_of_one_kind_of_work_is_told_as_what_it_is(
    model: str, kind: str, fields: dict[str, Any], measured: Callable[..., Row]
) -> None:
    found = shares(measured(model, **fields))
    assert max(found, key=lambda name: found[name]) == kind
    assert found[kind] > 0.4, found


@pytest.mark.whole  # small shares of a step, which another process on the same cores moves
def test_autocast_shows_as_casts_and_fp32_has_almost_none(measured: Callable[..., Row]) -> None:
    without, found = (shares(measured("Casts", recipe)) for recipe in ("fp32", "bf16_amp"))
    assert without["cast"] < 0.01  # some integers are cast to count them
    assert found["cast"] > 5 * without["cast"]
    assert found["cast"] > 0.03, found


def test_the_sum_over_the_gradient_of_a_bias_is_a_part_of_the_convolution() -> None:
    """In bf16 it may take longer than all the rest of the convolution."""
    convolution = SimpleNamespace(id=1, name="aten::convolution_backward", cpu_parent=None, cpu_children=[])
    children = {2: "aten::sum", 3: "aten::copy_", 4: "aten::empty"}
    dtypes = {3: ("float", "c10::BFloat16")}
    kinds = [
        kind_of(SimpleNamespace(id=number, name=name, cpu_parent=convolution, cpu_children=[]), dtypes)
        for number, name in children.items()
    ]
    assert kinds == ["matmul_conv", "cast", "matmul_conv"]


def test_the_augmentation_is_data_and_not_element_wise_work_of_the_network(measured: Callable[..., Row]) -> None:
    plain, augmented = (shares(measured("Quick", augment=kinds)) for kinds in ((), ("rotation:15", "jitter")))
    assert augmented["data"] > max(0.5, plain["data"])
    assert augmented["elementwise"] < 0.5 * augmented["data"], "the larger of the two if it were counted there"


def profiled(kinds: dict[str, float], data_s: float, update_s: float, wall_s: float = 0.02) -> ProfiledStep:
    network_s = sum(kinds.values())
    parts = {"data": data_s, "network": network_s, "update": update_s}
    return ProfiledStep(names={}, network_names={"a": 2e-3, "b": 1e-3}, kinds=kinds, parts=parts, wall_s=wall_s)


def parts_of(work: WorkByKind) -> dict[str, float]:
    """Return kind -> ms, without what is 0."""
    return {name: value for one in KINDS if (value := values_of(work)[(name := one.name)])}


def test_on_a_gpu_what_no_kernel_fills_is_idle() -> None:
    profile = profiled({"matmul_conv": 4e-3, "normalisation": 2e-3}, data_s=1e-3, update_s=1e-3)
    work = work_by_kind(profile, Speed(step_ms=10.0), StepPhases(), gpu=True)
    assert parts_of(work) == pytest.approx({
        "work_matmul_conv_ms": 4, "work_normalisation_ms": 2, "work_data_ms": 1, "work_optimizer_ms": 1,
        "work_idle_ms": 2,
    })  # fmt: skip
    assert work.longest_work == "a: 2; b: 1"


def test_on_a_gpu_that_waits_for_its_loader_the_wait_is_data_and_not_idle() -> None:
    profile = profiled({"matmul_conv": 4e-3}, data_s=1e-3, update_s=1e-3)
    phases = StepPhases(data_ms=13.0, forward_ms=2.0, backward_ms=2.0, update_ms=1.0)
    work = work_by_kind(profile, Speed(step_ms=20.0), phases, gpu=True)
    assert parts_of(work) == pytest.approx(
        {"work_matmul_conv_ms": 4, "work_data_ms": 13, "work_optimizer_ms": 1, "work_idle_ms": 2}
    )


def test_kernels_that_overlap_sum_to_the_step_and_leave_nothing_idle() -> None:
    work = work_by_kind(profiled({"matmul_conv": 8e-3}, 1e-3, 1e-3), Speed(step_ms=5.0), StepPhases(), gpu=True)
    assert parts_of(work) == pytest.approx({"work_matmul_conv_ms": 4, "work_data_ms": 0.5, "work_optimizer_ms": 0.5})


def test_on_a_cpu_the_profile_divides_forward_and_backward_but_does_not_say_how_long_they_take() -> None:
    """The profiler doubles the time of the network here, and the optimizer's is that without it."""
    kinds = {"matmul_conv": 6e-3, "cast": 2e-3}
    profile = ProfiledStep(
        names={}, network_names={}, kinds=kinds, parts={"data": 5e-3, "network": 16e-3, "update": 9e-3}, wall_s=0.03
    )
    phases = StepPhases(data_ms=1.0, forward_ms=3.0, backward_ms=5.0, update_ms=1.0)
    work = work_by_kind(profile, Speed(step_ms=10.0), phases, gpu=False)
    assert parts_of(work) == pytest.approx({
        "work_matmul_conv_ms": 3, "work_cast_ms": 1, "work_idle_ms": 4, "work_data_ms": 1, "work_optimizer_ms": 1,
    })  # fmt: skip
    assert work.profiled_step_ms == pytest.approx(30)


def test_without_a_throughput_there_are_no_parts_of_a_step() -> None:
    work = work_by_kind(profiled({"cast": 1e-3}, 0, 0), Speed(), StepPhases(), gpu=True)
    assert parts_of(work) == {}
