"""The zoo compared with its sources: numbers of parameters, and the order of the layers."""

from __future__ import annotations

import zlib

import pytest

from ampbench import models
from tests.models.test_models import on_meta

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
"""Parameters for 10 classes. Where the studies give no number, it is that of kuangliu/pytorch-cifar at 49b7aa9; for
the ShuffleNets after making one division there an integer division."""


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
        # layer1.0 computes 200 - 24 channels and appends its 24 inputs; the first 1x1 has no groups, the last has
        ("ShuffleNetG2", 3, [(44, 24, 1, 1), (44,), (44,), (44, 1, 3, 3), (44,), (44,), (176, 22, 1, 1)]),
    ],
)
def test_blocks_hold_their_weights_in_the_order_of_the_origin(
    name: str, start: int, shapes: list[tuple[int, ...]]
) -> None:
    ours = [tuple(p.shape) for p in on_meta(name).parameters()]
    assert ours[start : start + len(shapes)] == shapes
