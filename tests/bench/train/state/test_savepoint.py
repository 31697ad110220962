"""What a model holds beside its weights is put back after a look, bit for bit, or there is no look."""

from __future__ import annotations

import array
import threading
from typing import Any

import pytest
import torch
from torch import nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.settings import read_settings
from ampbench.bench.train.state.savepoint import CannotRollBackError, Savepoint
from ampbench.bench.worker.measurement import Measurement
from tests.support import deprecated, stateful
from tests.support.measuring import plain, row_of
from tests.support.thinned import thinned

CPU = torch.device("cpu")


def measured(model: str, *, looks: int, recipe: str = "fp32", **fields: Any) -> Measurement:
    stateful.CALLS = stateful.CountingElsewhere.calls = 0
    values: dict[str, Any] = {"data": "digits", "image_size": 8, "batch_size": 512, "epochs": 3, "num_threads": 1}
    cell = Cell(model=model, precision=RECIPES[recipe], learning_rate=0.05, **values | fields)
    measurement = Measurement(cell, MeasurementProtocol(passes=(), numerics_samples=looks), CPU, lambda **_: None)
    measurement.take()
    return measurement


def outcome(measurement: Measurement) -> list[Any]:
    losses = [row["loss"] for row in plain(measurement.outcome.traces.steps)]
    return [losses, [(row["test_accuracy"], row["test_loss"]) for row in plain(measurement.outcome.traces.epochs)]]


@deprecated.weight_norm
@pytest.mark.parametrize(
    ("model", "recipe"),
    thinned([(kind.__name__, recipe) for recipe in ("fp32", "bf16") for kind in stateful.RESTORED], kept=7),
)
def test_looks_change_no_bit_of_a_training_whatever_the_model_holds(model: str, recipe: str) -> None:
    name = f"tests.support.stateful:{model}"
    without, looked_at = (measured(name, looks=looks, recipe=recipe) for looks in (0, 4))
    assert outcome(looked_at) == outcome(without)
    assert "sample" not in (row_of(looked_at).get("passes_failed") or "")
    assert {row["epoch"] for row in plain(looked_at.outcome.traces.layers)} == {0, 1, 2, 3}


def test_without_a_way_back_there_is_no_look_and_a_line_says_so() -> None:
    without, refused = (measured("tests.support.stateful:HalfUsedUp", looks=looks) for looks in (0, 4))
    assert outcome(refused) == outcome(without)
    assert plain(refused.outcome.traces.layers) == []
    said = "model.scales is a cycle: how far it has come cannot be put back"
    assert row_of(refused)["passes_failed"] == f"no samples of the layers: CannotRollBackError: {said}"


def test_a_look_that_fails_half_way_leaves_the_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from ampbench.bench.worker.numerics_probe.sample import LayerSampler

    without = measured("tests.support.stateful:LateBuffer", looks=0)

    def failing(*_: object, **__: object) -> None:
        raise KeyError("in the middle of it")

    monkeypatch.setattr(LayerSampler, "compared", failing)
    failed = measured("tests.support.stateful:LateBuffer", looks=4)
    assert outcome(failed) == outcome(without)
    assert "no sample of the layers after epoch 2: KeyError" in row_of(failed)["passes_failed"]


def test_objects_and_memory_stay_the_same_and_what_came_is_gone() -> None:
    net = stateful.Counting()
    weight, held = net.linear.weight, net.linear.weight.data_ptr()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.half_way = weight[2:4]
    savepoint = Savepoint({"model": net}, CPU)
    for _ in range(2):
        net(torch.randn(2, 3, 8, 8)).sum().backward()
        net.bfloat16()
        net.calls = 17
        net.new = nn.Linear(2, 2)
        net.linear.weight = nn.Parameter(torch.zeros(1))
        net.norm.register_forward_hook(lambda *_: None)
        weight.requires_grad_(False)
        stateful.Counting.shared = 3
        savepoint.roll_back()
        assert net.linear.weight is weight
        assert weight.data_ptr() == held
        assert weight.requires_grad
        assert weight.grad is None
        assert (net.calls, hasattr(net, "new"), stateful.Counting.shared) == (0, False, 0)
        assert not net.norm._forward_hooks
        for name, value in net.state_dict().items():
            assert torch.equal(value, before[name]), name


@pytest.mark.parametrize(
    ("held", "why"),
    [
        ((x for x in (1, 2)), "model.held is a generator"),
        ({"inner": [iter([1])]}, r"model.held.inner\[0\] is a list_iterator"),
        (array.array("d", [1.0]), "model.held is a array.array, of which no copy can be made"),
        (nn.UninitializedParameter(), "model.held has no shape yet"),
    ],
)
def test_what_cannot_be_put_back_is_named(held: object, why: str) -> None:
    net = stateful.Counting()
    net.held = held
    with pytest.raises(CannotRollBackError, match=why):
        Savepoint({"model": net}, CPU)


@deprecated.sparse_rows
def test_sparse_tensors_views_and_shared_memory_come_back() -> None:
    net = stateful.Locked()
    whole = torch.arange(6.0)
    net.parts = [whole[:3], whole.view(2, 3), whole.expand(4, 6)]
    net.sparse = torch.eye(3).to_sparse()
    net.compressed = torch.eye(3).to_sparse_csr()
    net.condition = threading.Condition()
    savepoint = Savepoint({"model": net}, CPU)
    whole.fill_(9)
    net.sparse._values().fill_(9)
    net.compressed.values().fill_(9)
    net.parts.pop()
    savepoint.roll_back()
    assert torch.equal(net.parts[1], torch.arange(6.0).view(2, 3))
    assert torch.equal(net.parts[2][3], whole)
    assert torch.equal(net.sparse.to_dense(), torch.eye(3))
    assert torch.equal(net.compressed.to_dense(), torch.eye(3))


@pytest.mark.parametrize("package", ["models", "bench"])
def test_a_users_package_may_be_called_as_one_of_ours(package: str) -> None:
    class Counted(stateful.Locked):
        calls = 0

    Counted.__module__ = f"{package}.mine"
    savepoint = Savepoint({"model": Counted()}, CPU)
    Counted.calls = 3
    savepoint.roll_back()
    assert Counted.calls == 0


def test_a_reference_that_cannot_be_made_leaves_the_switches_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: object) -> None:
        assert not torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = True
        raise MemoryError

    monkeypatch.setattr("ampbench.bench.worker.numerics_probe.sample.strict_fp32", failing)
    before = read_settings()
    measurement = measured("tests.support.stateful:Counting", looks=2)
    assert "MemoryError" in row_of(measurement)["passes_failed"]
    changed = {name for name, value in read_settings().items() if value != before[name]}
    assert not [name for name in changed if "tf32" in name.lower() and read_settings()[name] is True]
