"""A training that was interrupted equals one that was not, bit for bit; a damaged checkpoint is passed over."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
import torch

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.train.images.images import Images, load_images
from ampbench.bench.train.state.checkpoint_file import (
    NEWEST,
    PREVIOUS,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from ampbench.bench.train.state.model_state import load_model_state, model_state
from ampbench.bench.train.training import Training
from tests.support import deprecated, stateful
from tests.support.thinned import thinned

CPU = torch.device("cpu")


BF16 = {"weights": "bf16", "compute": "bf16"}


OWN = {
    "bf16_master": Recipe(name="bf16_master", master_weights=True, **BF16),  # type: ignore[arg-type]
    "bf16_kahan": Recipe(name="bf16_kahan", rounding="kahan", **BF16),  # type: ignore[arg-type]
    "bf16_stochastic": Recipe(name="bf16_stochastic", rounding="stochastic", **BF16),  # type: ignore[arg-type]
    "fp16_master": Recipe(
        name="fp16_master", weights="fp16", compute="fp16", master_weights=True, loss_scale="dynamic:init=64,interval=2"
    ),
    "bf16_kept": Recipe(name="bf16_kept", rounding="stochastic", keep_fp32=("BatchNorm2d", "linear"), **BF16),  # type: ignore[arg-type]
}


ALL = {name: recipe for name, recipe in RECIPES.items() if not recipe.needs_gpu} | OWN


def cell(recipe: Recipe, **fields: object) -> Cell:
    given = {"model": "tests.support.tiny:Net", "data": "digits", "image_size": 8, "batch_size": 512, "epochs": 3}
    return Cell(**given | {"precision": recipe, "learning_rate": 0.05} | fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("digits", 8)


CASES = [(name, "sgd") for name in ALL] + [(name, "adam") for name in ("bf16", "bf16_amp_scaled", "bf16_kahan")]


@pytest.mark.parametrize(("name", "optimizer"), thinned(CASES, kept=6))
def test_a_resumed_training_is_the_same_bit_for_bit(name: str, optimizer: str, images: Images, tmp_path: Path) -> None:
    whole = Training(cell(ALL[name], optimizer=optimizer), images, CPU)
    for _ in whole.steps(0):
        pass
    save_checkpoint(tmp_path, {"training": whole.state_dict(), "epoch": 1})
    expected = [float(step.loss) for step in whole.steps(1)]
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    torch.manual_seed(99)
    resumed = Training(cell(ALL[name], optimizer=optimizer), images, CPU)
    resumed.load_state_dict(saved["training"])
    assert [float(step.loss) for step in resumed.steps(1)] == expected
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    assert whole.precision.scaler.state_dict() == resumed.precision.scaler.state_dict()


def test_a_resumed_average_of_weights_is_the_same_bit_for_bit(images: Images, tmp_path: Path) -> None:
    averaged = cell(ALL["fp32"], ema_decay=0.9)
    whole = Training(averaged, images, CPU)
    for _ in whole.steps(0):
        pass
    save_checkpoint(tmp_path, {"training": whole.state_dict()})
    for _ in whole.steps(1):
        pass
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    resumed = Training(averaged, images, CPU)
    resumed.load_state_dict(saved["training"])
    for _ in resumed.steps(1):
        pass
    assert whole.evaluate() == resumed.evaluate()


def test_a_checkpoint_that_holds_code_is_not_opened(tmp_path: Path) -> None:
    torch.save({"epoch": Path("/")}, tmp_path / NEWEST)
    with pytest.raises(ValueError, match="holds more than tensors"):
        read_checkpoint(tmp_path / NEWEST)


def test_a_save_keeps_the_one_before(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        save_checkpoint(tmp_path, {"epoch": epoch})
    assert sorted(p.name for p in tmp_path.iterdir()) == [PREVIOUS, NEWEST]
    assert (read_checkpoint(tmp_path / NEWEST)["epoch"], read_checkpoint(tmp_path / PREVIOUS)["epoch"]) == (3, 2)


KEPT = [kind.__name__ for kind in stateful.RESTORED if kind is not stateful.CountingElsewhere]
"""Of which a checkpoint has everything: what is in a class or a module's variables is not the model's."""


@deprecated.weight_norm
@pytest.mark.parametrize(
    ("model", "name", "ema_decay"), thinned(itertools.product(KEPT, ("fp32", "bf16"), (0.0, 0.9)), kept=len(KEPT))
)
def test_what_a_model_holds_beside_its_weights_is_part_of_a_checkpoint(
    model: str, name: str, ema_decay: float, images: Images, tmp_path: Path
) -> None:
    described = cell(ALL[name], model=f"tests.support.stateful:{model}", ema_decay=ema_decay)
    whole = Training(described, images, CPU)
    for _ in whole.steps(0):
        pass
    save_checkpoint(tmp_path, {"training": whole.state_dict()})
    expected = [float(step.loss) for step in whole.steps(1)]
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    torch.manual_seed(99)
    resumed = Training(described, images, CPU)
    resumed.load_state_dict(saved["training"])
    assert [float(step.loss) for step in resumed.steps(1)] == expected
    assert resumed.evaluate() == whole.evaluate()
    assert whole.model.state_dict().keys() == resumed.model.state_dict().keys()


def test_a_used_model_goes_back_to_where_it_had_fewer_buffers() -> None:
    net = stateful.RegisteredLate()
    start = model_state(net)
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    start = copy.deepcopy(start)
    net(torch.randn(2, 3, 8, 8))
    net.added = 3
    with torch.no_grad():
        net.linear.weight.fill_(float("nan"))
    load_model_state(net, start)
    assert net.state_dict().keys() == weights.keys()
    assert not hasattr(net, "added")
    assert torch.equal(net.linear.weight, weights["linear.weight"])
