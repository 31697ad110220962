"""The zoo: one file per family, after kuangliu/pytorch-cifar (MIT), for small images and 10 classes.

`NAMES` is known without torch; `build` imports the family that it needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ampbench.models.arguments import why_refused

if TYPE_CHECKING:
    from torch import nn

FAMILIES: dict[str, tuple[str, ...]] = {
    "lenet": ("LeNet",),
    "vgg": ("VGG11", "VGG13", "VGG16", "VGG19"),
    "resnet": ("ResNet18", "ResNet34", "ResNet50", "ResNet101", "ResNet152"),
    "preact_resnet": (
        "PreActResNet18",
        "PreActResNet34",
        "PreActResNet50",
        "PreActResNet101",
        "PreActResNet152",
    ),
    "googlenet": ("GoogLeNet",),
    "densenet": ("DenseNet121", "DenseNet161", "DenseNet169", "DenseNet201"),
    "resnext": ("ResNeXt29_2x64d", "ResNeXt29_4x64d", "ResNeXt29_8x64d", "ResNeXt29_32x4d"),
    "mobilenet": ("MobileNet",),
    "mobilenetv2": ("MobileNetV2",),
    "dpn": ("DPN26", "DPN92"),
    "senet": ("SENet18",),
    "shufflenet": ("ShuffleNetG2", "ShuffleNetG3"),
    "shufflenetv2": ("ShuffleNetV2_x0_5", "ShuffleNetV2", "ShuffleNetV2_x1_5", "ShuffleNetV2_x2_0"),
    "efficientnet": ("EfficientNetB0",),
    "regnet": ("RegNetX_200MF", "RegNetX_400MF", "RegNetY_400MF"),
    "pnasnet": ("PNASNetA", "PNASNetB"),
    "dla": ("SimpleDLA", "DLA"),
    "cifarnet": (
        "SmallCifarNet",
        "PowerCifarNet_x0_5",
        "PowerCifarNet",
        "PowerCifarNet_x1_5",
        "PowerCifarNet_x2_0",
        "PowerCifarNet_x2_5",
    ),
    "hybrid": ("hybrid",),
    "vit": ("ViT_B16",),
    "transformer": ("ViT_S0_small", "ViT_S0_small_official", "ViT_S0_base", "ViT_S0_base_official"),
}
"""Module -> the models it builds."""

NAMES: dict[str, str] = {name: family for family, names in FAMILIES.items() for name in names}
"""Model -> its module."""

SIZED = ("vit", "transformer")
"""Modules whose networks learn a position for every patch, so they are built for one image size (default 224x224)."""


def build(
    name: str, /, *, num_classes: int = 10, input_shape: tuple[int, int, int] = (3, 32, 32), **arguments: Any
) -> nn.Module:
    """Build a network with fresh weights from torch's current random state.

    Args:
        name: a key of `NAMES`, `torchvision:NAME`, `timm:NAME`, `hf:PATH` or `package.module:factory`.
        num_classes: K, the width of the head.
        input_shape: (C, H, W) of the images that the network takes.
        arguments: of the network itself, such as `hidden_dropout_prob` (models/arguments.py), or of the factory.

    Returns:
        A module from images (N, C, H, W) to logits (N, K).

    Raises:
        ValueError: there is no such model, it does not take these arguments, or a model from a factory or folder has
            another input shape or number of classes.
    """
    if reason := why_refused(name, arguments):
        raise ValueError(reason)
    source, colon, _ = name.partition(":")
    if colon:
        elsewhere = importlib.import_module(f"ampbench.models.{'pretrained' if source == 'hf' else 'external'}")
        return elsewhere.build(name, num_classes, input_shape, **arguments)
    if name not in NAMES:
        raise ValueError(f"{name!r} is not a model; known: {', '.join(NAMES)}")
    family = importlib.import_module(f"ampbench.models.{NAMES[name]}")
    if NAMES[name] in SIZED:
        return family.build(name, num_classes, input_shape, **arguments)
    return family.build(name, num_classes, **arguments)
