"""The zoo against its sources: counts, order of the layers, and that every model trains in every recipe."""

from __future__ import annotations

import copy
import shutil
import zlib
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from ampbench import models
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.images import load_images
from ampbench.bench.train.training import Training
from ampbench.models.efficientnet import drop_connect
from ampbench.models.shufflenet import shuffle

PARAMETERS = {
    "LeNet": 62_006,
    "VGG11": 9_231_114,
    "VGG13": 9_416_010,
    "VGG16": 14_728_266,
    "VGG19": 20_040_522,
    "ResNet18": 11_173_962,
    "ResNet34": 21_282_122,
    "ResNet50": 23_520_842,
    "ResNet101": 42_512_970,
    "ResNet152": 58_156_618,
    "PreActResNet18": 11_171_146,
    "PreActResNet34": 21_279_306,
    "PreActResNet50": 23_509_066,
    "PreActResNet101": 42_501_194,
    "PreActResNet152": 58_144_842,
    "GoogLeNet": 6_166_250,
    "DenseNet121": 6_956_298,
    "DenseNet161": 26_482_378,
    "DenseNet169": 12_493_322,
    "DenseNet201": 18_104_330,
    "ResNeXt29_2x64d": 9_128_778,
    "ResNeXt29_4x64d": 27_104_586,
    "ResNeXt29_8x64d": 89_598_282,
    "ResNeXt29_32x4d": 4_774_218,
    "MobileNet": 3_217_226,
    "MobileNetV2": 2_296_922,
    "DPN26": 11_574_842,
    "DPN92": 34_236_634,
    "SENet18": 11_260_354,
    "ShuffleNetG2": 887_582,
    "ShuffleNetG3": 862_768,
    "ShuffleNetV2_x0_5": 352_042,
    "ShuffleNetV2": 1_263_854,
    "ShuffleNetV2_x1_5": 2_488_874,
    "ShuffleNetV2_x2_0": 5_338_026,
    "EfficientNetB0": 3_599_686,
    "RegNetX_200MF": 2_321_946,
    "RegNetX_400MF": 4_779_338,
    "RegNetY_400MF": 5_714_362,
    "PNASNetA": 130_646,
    "PNASNetB": 451_626,
    "SimpleDLA": 15_142_970,
    "DLA": 16_291_386,
    "SmallCifarNet": 1_147_914,
    "PowerCifarNet_x0_5": 1_215_978,
    "PowerCifarNet": 4_854_730,
    "PowerCifarNet_x1_5": 10_916_266,
    "PowerCifarNet_x2_0": 19_400_586,
    "PowerCifarNet_x2_5": 30_307_690,
    "hybrid": 15_553_098,
    "ViT_B16": 85_806_346,
    "ViT_S0_small": 4_988_682,
    "ViT_S0_small_official": 4_988_682,
    "ViT_S0_base": 85_804_810,
    "ViT_S0_base_official": 85_804_810,
}
"""For 10 classes. Where the studies list no count, it is that of kuangliu/pytorch-cifar at 49b7aa9, the ShuffleNets
with their one division made whole."""

ORDER = {
    "LeNet": 0x8BA90CFF,
    "VGG11": 0xA8C829C6,
    "VGG13": 0x7AE96D5C,
    "VGG16": 0xE6335DB6,
    "VGG19": 0xE130D9F4,
    "ResNet18": 0xF65346D6,
    "ResNet34": 0x0D920959,
    "ResNet50": 0x2265F2DE,
    "ResNet101": 0xA533E3A5,
    "ResNet152": 0xF0EF5F4B,
    "PreActResNet18": 0x58C64232,
    "PreActResNet34": 0x903F9396,
    "PreActResNet50": 0xEBAA182C,
    "PreActResNet101": 0x126B8E6B,
    "PreActResNet152": 0xE70602BB,
    "GoogLeNet": 0x2FED2D33,
    "DenseNet121": 0x38A6FAE9,
    "DenseNet161": 0x3456B77D,
    "DenseNet169": 0x35C3FD47,
    "DenseNet201": 0x22264744,
    "ResNeXt29_2x64d": 0x3607D476,
    "ResNeXt29_4x64d": 0x00A9F38B,
    "ResNeXt29_8x64d": 0x83546C40,
    "ResNeXt29_32x4d": 0x068962F7,
    "MobileNet": 0xB95D67B4,
    "MobileNetV2": 0xE5F3A1ED,
    "DPN26": 0x67872CFC,
    "DPN92": 0x3C93DC6F,
    "SENet18": 0x334045BA,
    "ShuffleNetG2": 0x71662AC7,
    "ShuffleNetG3": 0xF8BF8547,
    "ShuffleNetV2_x0_5": 0x7746487E,
    "ShuffleNetV2": 0xD44AB90D,
    "ShuffleNetV2_x1_5": 0x366C35E8,
    "ShuffleNetV2_x2_0": 0x3AB5FFD3,
    "EfficientNetB0": 0x8EB84463,
    "RegNetX_200MF": 0xE9B1EB21,
    "RegNetX_400MF": 0xD21A9571,
    "RegNetY_400MF": 0xC376A874,
    "PNASNetA": 0x89FC2699,
    "PNASNetB": 0x193F80EE,
    "SimpleDLA": 0x6031682B,
    "DLA": 0xCCDA1746,
}
"""CRC-32 of the shapes of all weights and buffers in order, taken from kuangliu/pytorch-cifar at 49b7aa9."""

LIGHT = ("ShuffleNetV2_x0_5", "EfficientNetB0", "PNASNetA")
"""Few operations; between them depthwise convolutions, squeeze and excitation, shuffles, pooling and all randomness."""

FOR_32 = [name for name, family in models.NAMES.items() if family not in models.SIZED]
"""The others are for 224x224 and heavy: they keep to the meta device; test_vit.py computes with tiny ones."""

EACH = [pytest.param(name, marks=() if name in LIGHT else pytest.mark.whole) for name in FOR_32]

CPU_RECIPES = [name for name, recipe in RECIPES.items() if not recipe.needs_gpu]


def shape_for(name: str) -> tuple[int, int, int]:
    return (3, 32, 32) if name in FOR_32 else (3, 224, 224)


@cache
def on_meta(name: str) -> nn.Module:
    """Build without storage: shapes and dtypes cost nothing there."""
    with torch.device("meta"):
        return models.build(name, input_shape=shape_for(name))


@pytest.mark.parametrize("name", models.NAMES)
def test_parameter_counts_are_those_of_the_studies(name: str) -> None:
    assert sum(p.numel() for p in on_meta(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", ORDER)
def test_weights_of_the_origin_fit_in_order(name: str) -> None:
    shapes = [tuple(tensor.shape) for tensor in on_meta(name).state_dict().values()]
    assert zlib.crc32(repr(shapes).encode()) == ORDER[name]


@pytest.mark.parametrize(
    ("name", "start", "shapes"),
    [
        # layer2.0: bn1 conv1 bn2 conv2, then the projection
        (
            "PreActResNet18",
            13,
            [(64,), (64,), (128, 64, 3, 3), (128,), (128,), (128, 128, 3, 3), (128, 64, 1, 1)],
        ),
        # the same block, then squeeze and excitation
        ("SENet18", 23 + 6, [(128, 64, 1, 1), (8, 128, 1, 1), (8,), (128, 8, 1, 1), (128,)]),
        # layer4: its root, its subtree's root, the subtree's left block
        ("DLA", 27, [(128, 512, 1, 1), (128,), (128,), (128, 256, 1, 1), (128,), (128,), (128, 64, 3, 3)]),
        # dense1.0: bn1 conv1 bn2 conv2
        ("DenseNet121", 1, [(64,), (64,), (128, 64, 1, 1), (128,), (128,), (32, 128, 3, 3), (96,)]),
        # layers.0: conv1 (unused) bn1 conv2 bn2 se1 se2 conv3
        (
            "EfficientNetB0",
            3,
            [(32, 32, 1, 1), (32,), (32,), (32, 1, 3, 3), (32,), (32,), (8, 32, 1, 1), (8,), (32, 8, 1, 1), (32,)],
        ),
        # layer1.0: 7x7, 3x3, 5x5, then the 1x1
        (
            "PNASNetB",
            3,
            [(32, 1, 7, 7), (32,), (32,), (32, 1, 3, 3), (32,), (32,), (32, 1, 5, 5), (32,), (32,), (32, 64, 1, 1)],
        ),
        # layer1.0 makes 200 - 24 channels and passes 24 on; the first 1x1 is not grouped, the last is
        ("ShuffleNetG2", 3, [(44, 24, 1, 1), (44,), (44,), (44, 1, 3, 3), (44,), (44,), (176, 22, 1, 1)]),
    ],
)
def test_blocks_hold_their_weights_in_the_order_of_the_origin(
    name: str, start: int, shapes: list[tuple[int, ...]]
) -> None:
    ours = [tuple(p.shape) for p in on_meta(name).parameters()]
    assert ours[start : start + len(shapes)] == shapes


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
    trained(x_NCHW)  # moves the statistics of BatchNorm
    loaded = models.build(name)
    loaded.load_state_dict(trained.state_dict())
    wanted_NK = trained.eval()(x_NCHW[:1])
    assert torch.equal(loaded.eval()(x_NCHW[:1]), wanted_NK)
    last = loaded.to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(x_NCHW[:1].contiguous(memory_format=torch.channels_last)), wanted_NK)


def loss_of_one_step(name: str, recipe: str) -> Tensor:
    """Train one step on two images; what trains gets a gradient, or DistributedDataParallel would wait for it."""
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
        ("tests.support.failing:Shapeless", "says no input_shape; give it the attribute"),
        ("tests.support.failing:Wide", r"input_shape = \(3, 224, 224\), the data \(3, 32, 32\); change image_size"),
        ("builtins:dict", "returned dict; a factory returns a torch.nn.Module"),
        ("LeNett", "is no model; known"),
    ],
)
def test_a_factory_of_ones_own_says_its_shapes_or_is_told_how(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        models.build(name)


def test_a_missing_package_names_its_install() -> None:
    with pytest.raises(ImportError, match="pip install timm"):
        models.build("timm:resnet10t")
