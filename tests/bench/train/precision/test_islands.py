"""Layers that a recipe keeps in fp32: which ones, in which dtypes, and that keeping the right one helps."""

from __future__ import annotations

import copy
import dataclasses
import json
import math

import pytest
import torch
from torch import Tensor, nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.train.images.images import Images, load_images
from ampbench.bench.train.precision.islands import Island, islands_of, layers_to_keep, make_islands
from ampbench.bench.train.training import Training
from ampbench.bench.worker.dtype_check import check_first_step
from ampbench.bench.worker.passes.prediction import predict_peak_bytes
from ampbench.schema.precision import DtypesSeen
from tests.support.thinned import thinned
from tests.support.tiny import Net

CPU = torch.device("cpu")


def own(name: str, keep: tuple[str, ...], **fields: object) -> Recipe:
    return Recipe(name=name, keep_fp32=keep, **fields)  # type: ignore[arg-type]


KEEPING = {
    "fp16_amp": own("fp16_amp_kept", ("norm",), compute="fp16"),
    "bf16_amp": own("bf16_amp_kept", ("linear",), compute="bf16"),
    "fp16_amp_scaled": own("fp16_amp_scaled_kept", ("BatchNorm2d", "lin*"), compute="fp16", loss_scale="dynamic"),
    "bf16": own("bf16_kept", ("BatchNorm2d",), weights="bf16", compute="bf16"),
    "bf16_kahan": own("bf16_kahan_kept", ("conv",), weights="bf16", compute="bf16", rounding="kahan"),
    "fp16_scaled": own("fp16_scaled_kept", ("linear",), weights="fp16", compute="fp16", loss_scale="static:1024"),
    "apex O2": own(
        "apex_O2", ("BatchNorm2d",), weights="fp16", compute="fp16", master_weights=True, loss_scale="dynamic:init=1024"
    ),
}


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("digits", 8)


def cell(recipe: Recipe, model: str = "tests.support.tiny:Net", **fields: object) -> Cell:
    given = {"data": "digits", "image_size": 8, "batch_size": 128, "epochs": 2, "schedule": "constant", "augment": ()}
    return Cell(**given | {"model": model, "precision": recipe, "learning_rate": 0.05} | fields)  # type: ignore[arg-type]


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(2)))
        self.head = nn.Linear(4, 2)

    def forward(self, x_ND: Tensor) -> Tensor:
        return self.head(self.blocks(x_ND))


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["LayerNorm"], ["blocks.0.1", "blocks.1.1"]),
        (["head.*"], ["head"]),
        (["blocks.0"], ["blocks.0"]),
        (["blocks.*.0", "head"], ["blocks.0.0", "blocks.1.0", "head"]),
        (["blocks.1.1.weight"], ["blocks.1.1"]),
    ],
)
def test_a_pattern_is_a_class_or_a_name_of_layers_or_of_their_weights(patterns: list[str], names: list[str]) -> None:
    assert list(layers_to_keep(Nested(), patterns)) == names


@pytest.mark.parametrize(
    ("pattern", "words"), [("LayerNrom", "Did you mean 'LayerNorm'?"), ("x", "names: blocks, blocks.0, blocks.0.0")]
)
def test_a_pattern_without_a_layer_is_an_error_that_names_layers(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"keep_fp32: '{pattern}' matches no layer") as found:
        layers_to_keep(Nested(), [pattern])
    assert words in str(found.value)
    assert "\n" not in str(found.value)


def test_an_island_computes_in_fp32_and_gives_back_what_came_in_or_fp32_to_autocast() -> None:
    net = make_islands(Nested(), ["blocks.0"], torch.bfloat16)
    seen: list[torch.dtype] = []
    net.blocks[0][0].register_forward_hook(lambda _m, _i, y: seen.append(y.dtype))  # type: ignore[index, union-attr]
    x_ND = torch.randn(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert net.blocks[0](x_ND.bfloat16()).dtype == torch.float32  # type: ignore[index, operator]
        assert net(x_ND).dtype == torch.bfloat16
    assert net.blocks[0](x_ND.bfloat16()).dtype == torch.bfloat16  # type: ignore[index, operator]
    assert set(seen) == {torch.float32}


def test_an_island_is_copied_and_made_once() -> None:
    net = make_islands(Nested(), ["head"], torch.float32)
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin.head.bias.fill_(100.0)  # type: ignore[union-attr, operator]
    x_ND = torch.zeros(1, 4)
    assert float(twin(x_ND).detach().max()) > 50 > float(net(x_ND).detach().max())
    kind = type(net.head)
    make_islands(net, ["head"], torch.float32)
    assert type(net.head) is kind
    assert kind.__name__ == "Linear"
    assert list(islands_of(twin)) == ["head"]


@pytest.mark.parametrize("base", thinned(KEEPING, kept=4))
def test_the_weights_of_kept_layers_and_no_others_stay_fp32_and_train(base: str, images: Images) -> None:
    recipe = KEEPING[base]
    training = Training(cell(recipe, ema_decay=0.9, grad_clip=1.0, accumulation=2), images, CPU)
    kept = layers_to_keep(training.model, recipe.keep_fp32)
    narrow = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[recipe.weights]
    for name, weight in training.model.named_parameters():
        assert weight.dtype == (torch.float32 if name.rpartition(".")[0] in kept else narrow), name
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    steps = training.endless_steps()
    first = check_first_step(training, steps, DtypesSeen())
    assert first.contradiction is None
    assert f"kept_layers:{len(kept)}/{len(kept)}" in str(first.dtypes.dtype_check)
    losses = [float(step.loss) for _, step in zip(range(30), steps, strict=False)]
    assert sum(losses[-5:]) < 0.8 * 5 * float(first.step.loss)
    for name in kept:
        assert not torch.equal(dict(training.model.named_parameters())[f"{name}.weight"], before[f"{name}.weight"])
    assert training.evaluate().test_accuracy > 0.2


def test_weights_that_are_fp32_get_no_second_copy(images: Images) -> None:
    training = Training(cell(KEEPING["apex O2"]), images, CPU)
    assert training.updated["norm.weight"] is training.weights["norm.weight"]
    assert training.updated["conv.weight"] is not training.weights["conv.weight"]


def test_the_prediction_of_memory_knows_the_wider_weights() -> None:
    plain, kept = (
        predict_peak_bytes(cell(recipe, "tests.support.tiny:Wide", image_size=32, batch_size=4))
        for recipe in (RECIPES["bf16"], own("kept", ("conv", "norm", "hidden"), weights="bf16", compute="bf16"))
    )
    assert kept > plain


def test_a_layer_whose_weights_are_read_and_that_is_not_called_is_a_contradiction(images: Images) -> None:
    for keep, words in ((("attention.out_proj",), "keep the layer around"), (("attention",), None)):
        recipe = own("kept", keep, compute="bf16")
        training = Training(cell(recipe, "tests.bench.train.precision.test_islands:Attends"), images, CPU)
        found = check_first_step(training, training.endless_steps(), DtypesSeen()).contradiction
        assert (found is None) == (words is None)
        assert words is None or words in str(found)


class Attends(Net):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def features(self, x_NCHW: Tensor) -> Tensor:
        rows = super().features(x_NCHW).flatten(2).mT
        mixed, _ = self.attention(rows, rows, rows)
        return mixed.mT.contiguous()


class Passes(Net):
    """Calls a layer inside a kept one past its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.tail = nn.Sequential(nn.Linear(8 * 16, 8 * 16))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.linear(self.tail[0](self.features(x_NCHW).flatten(1)))


def test_a_layer_that_is_called_past_the_kept_one_is_a_contradiction(images: Images) -> None:
    recipe = own("kept", ("tail", "norm"), compute="bf16")
    training = Training(cell(recipe, "tests.bench.train.precision.test_islands:Passes"), images, CPU)
    found = check_first_step(training, training.endless_steps(), DtypesSeen()).contradiction
    assert "keep 'tail.0' itself" in str(found)


def test_to_keep_everything_is_a_contradiction(images: Images) -> None:
    training = Training(cell(own("kept", ("conv", "linear"), compute="bf16")), images, CPU)
    found = check_first_step(training, training.endless_steps(), DtypesSeen()).contradiction
    assert "the recipe computes in bfloat16, but" in str(found)


def trained(
    recipe: Recipe, model: str, images: Images, steps: int = 40, **fields: object
) -> tuple[Training, list[float]]:
    training = Training(cell(recipe, f"tests.support.one_layer:{model}", **fields), images, CPU)
    losses = [float(step.loss) for _, step in zip(range(steps), training.endless_steps(), strict=False)]
    return training, losses


def test_keeping_the_one_layer_that_overflows_trains_as_fp32_does(images: Images) -> None:
    _, right = trained(RECIPES["fp32"], "Overflows", images)
    _, plain = trained(RECIPES["fp16_amp"], "Overflows", images)
    _, kept = trained(own("kept", ("trouble",), compute="fp16"), "Overflows", images)
    assert not math.isfinite(plain[0])
    assert right[-1] < 0.8 * right[0]
    assert kept == pytest.approx(right, rel=0.01)
    _, other = trained(own("kept", ("head", "norm"), compute="fp16"), "Overflows", images)
    assert not math.isfinite(other[0]), "another layer kept does not help"


def test_keeping_the_one_layer_that_underflows_trains_as_fp32_does(images: Images) -> None:
    """With Adam, whose step is as large for a tiny gradient as for another."""
    adam = {"optimizer": "adam", "learning_rate": 0.005, "weight_decay": 0.0}
    moved = {}
    for name, recipe in {
        "fp32": RECIPES["fp32"], "fp16_amp": RECIPES["fp16_amp"], "kept": own("kept", ("Faint",), compute="fp16")
    }.items():  # fmt: skip
        training, losses = trained(recipe, "Underflows", images, steps=20, **adam)
        assert losses[-1] < losses[0]
        moved[name] = training.weights["trouble.weight"].detach()
    assert float((moved["fp16_amp"] == 0).float().mean()) > 0.9
    assert float((moved["fp32"] == 0).float().mean()) < 0.3
    assert float((moved["kept"] - moved["fp32"]).norm() / moved["fp32"].norm()) < 0.2


def test_keeping_the_one_layer_that_loses_its_updates_trains_it(images: Images) -> None:
    moved = {}
    for name, recipe in {
        "fp32": RECIPES["fp32"],
        "bf16": RECIPES["bf16"],
        "kept": own("kept", ("trouble",), weights="bf16", compute="bf16"),
    }.items():
        training, _ = trained(recipe, "LosesUpdates", images, steps=20, weight_decay=0.0)
        moved[name] = training.weights["trouble.weight"].detach().float() - 64
    assert float(moved["bf16"].abs().max()) == 0
    assert float((moved["kept"] - moved["fp32"]).norm() / moved["fp32"].norm()) < 0.2


def test_a_kept_recipe_is_another_cell_and_survives_its_json() -> None:
    plain, kept = cell(dataclasses.replace(KEEPING["bf16_amp"], keep_fp32=())), cell(KEEPING["bf16_amp"])
    assert plain.cell_id != kept.cell_id
    assert plain.group_id == kept.group_id
    assert Cell.from_json(json.loads(json.dumps(kept.to_json()))) == kept


def test_an_island_is_what_its_class_was() -> None:
    net = make_islands(Nested(), ["LayerNorm"], torch.float32)
    layer = net.blocks[0][1]  # type: ignore[index]
    assert isinstance(layer, nn.LayerNorm)
    assert isinstance(layer, Island)
