"""The zoo: every model trains in every recipe, takes one image, and is one graph to the compiler."""

from __future__ import annotations

import copy
import shutil
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from ampbench import models
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.training import Training
from ampbench.models.efficientnet import drop_connect
from ampbench.models.shufflenet import shuffle

LIGHT = ("ShuffleNetV2_x0_5", "EfficientNetB0", "PNASNetA")
"""Small networks that together have depthwise convolutions, squeeze and excitation, shuffles, pooling and dropout."""


FOR_32 = [name for name, family in models.NAMES.items() if family not in models.SIZED]
"""The others are for 224x224 and large: they are built on the meta device; test_vit.py computes with tiny ones."""


EACH = [pytest.param(name, marks=() if name in LIGHT else pytest.mark.whole) for name in FOR_32]


CPU_RECIPES = [name for name, recipe in RECIPES.items() if not recipe.needs_gpu]


def shape_for(name: str) -> tuple[int, int, int]:
    return (3, 32, 32) if name in FOR_32 else (3, 224, 224)


@cache
def on_meta(name: str) -> nn.Module:
    """Build on the meta device, where shapes and dtypes need no memory."""
    with torch.device("meta"):
        return models.build(name, input_shape=shape_for(name))


@pytest.mark.parametrize("name", [names[0] for names in models.FAMILIES.values()])
def test_every_family_keeps_dtype_and_layout_on_the_way_to_its_logits(name: str) -> None:
    model = copy.deepcopy(on_meta(name)).to(dtype=torch.bfloat16, memory_format=torch.channels_last)
    x_NCHW = torch.empty(2, *shape_for(name), dtype=torch.bfloat16, device="meta")
    logits_NK = model(x_NCHW.contiguous(memory_format=torch.channels_last))
    assert (logits_NK.shape, logits_NK.dtype) == ((2, 10), torch.bfloat16)


@pytest.mark.parametrize("name", EACH)
def test_a_seed_gives_the_same_weights_and_the_same_outputs_in_training(name: str) -> None:
    x_NCHW = torch.randn(2, 3, 32, 32)
    first, second = (torch.manual_seed(3) and models.build(name)(x_NCHW) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", EACH)
@torch.no_grad()
def test_a_state_dict_carries_a_model_over_in_either_layout(name: str) -> None:
    x_NCHW = torch.randn(2, 3, 32, 32)
    trained = models.build(name)
    trained(x_NCHW)  # updates the statistics of BatchNorm
    loaded = models.build(name)
    loaded.load_state_dict(trained.state_dict())
    wanted_NK = trained.eval()(x_NCHW[:1])
    assert torch.equal(loaded.eval()(x_NCHW[:1]), wanted_NK)
    last = loaded.to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(x_NCHW[:1].contiguous(memory_format=torch.channels_last)), wanted_NK)


def loss_of_one_step(name: str, recipe: str) -> Tensor:
    """Train one step on two images; every trainable weight must get a gradient, or DDP would wait for it."""
    cell = Cell(model=name, data="synthetic", batch_size=2, precision=RECIPES[recipe], epochs=0, augment=())
    training = Training(cell, load_images("synthetic", 32), torch.device("cpu"))
    loss = next(training.steps(0)).loss
    assert [n for n, p in training.model.named_parameters() if p.requires_grad and p.grad is None] == []
    return loss


@pytest.mark.parametrize("name", LIGHT)
def test_a_light_model_trains_under_autocast(name: str) -> None:
    assert loss_of_one_step(name, "bf16_amp").isfinite()


@pytest.mark.whole
@pytest.mark.parametrize("recipe", CPU_RECIPES)
@pytest.mark.parametrize("name", FOR_32)
def test_every_model_trains_in_every_recipe(name: str, recipe: str) -> None:
    assert loss_of_one_step(name, recipe).isfinite()


@pytest.mark.whole
@pytest.mark.parametrize("name", FOR_32)
@torch.no_grad()
def test_every_model_takes_one_image_in_evaluation(name: str) -> None:
    assert models.build(name).eval()(torch.randn(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.whole
@pytest.mark.parametrize("name", FOR_32)
@torch.no_grad()
def test_every_model_is_one_graph_to_the_compiler(name: str) -> None:
    model, x_NCHW = models.build(name).eval(), torch.randn(2, 3, 32, 32)
    traced = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(x_NCHW), model(x_NCHW))


@pytest.mark.whole
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
@pytest.mark.parametrize("name", LIGHT)
@torch.no_grad()
def test_a_light_model_computes_the_same_once_compiled(name: str) -> None:
    model, x_NCHW = models.build(name).eval(), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(torch.compile(model)(x_NCHW), model(x_NCHW), rtol=1e-4, atol=1e-5)


def test_a_shuffle_deals_out_the_groups_in_turn() -> None:
    x_NCHW = torch.arange(6).view(1, 6, 1, 1)
    assert shuffle(x_NCHW, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert shuffle(x_NCHW, 3).flatten().tolist() == [0, 2, 4, 1, 3, 5]
    assert torch.equal(shuffle(x_NCHW, 1), x_NCHW)


def test_drop_connect_drops_the_same_images_in_every_dtype_and_keeps_the_mean() -> None:
    kept = {}
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        torch.manual_seed(0)
        out = drop_connect(torch.ones(4000, 3, 1, 1, dtype=dtype), 0.25)
        assert out.dtype == dtype
        values = torch.tensor([0, 1 / 0.75]).to(dtype)
        assert torch.equal(out.unique(), values)
        kept[dtype] = out != 0
        assert torch.equal(kept[dtype].all(1), kept[dtype].any(1))
        assert float(out.float().mean()) == pytest.approx(1, abs=0.05)
    assert torch.equal(kept[torch.float32], kept[torch.float16])
    assert torch.equal(kept[torch.float32], kept[torch.bfloat16])


def test_a_torchvision_model_gets_the_number_of_classes() -> None:
    with torch.device("meta"):
        assert models.build("torchvision:squeezenet1_1", num_classes=7).num_classes == 7


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tests.support.failing:nothing", "has no callable 'nothing'"),
        ("tests.support.failing:Shapeless", "has no input_shape; give it the attribute"),
        ("tests.support.failing:Wide", r"input_shape = \(3, 224, 224\), the data \(3, 32, 32\); change image_size"),
        ("builtins:dict", "returned dict; a factory returns a torch.nn.Module"),
        ("LeNett", "is not a model; known"),
    ],
)
def test_a_users_factory_without_its_shapes_gets_an_error_that_says_how(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        models.build(name)


def test_a_missing_package_names_its_install() -> None:
    with pytest.raises(ImportError, match="pip install timm"):
        models.build("timm:resnet10t")
