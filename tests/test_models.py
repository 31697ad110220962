from __future__ import annotations

import pytest
import torch

import models

PARAMETERS = {
    "LeNet": 62_006,
    "VGG11": 9_231_114,
    "VGG13": 9_416_010,
    "VGG16": 14_728_266,
    "VGG19": 20_040_522,
    "ResNet18": 11_173_962,
    "ResNet34": 21_282_122,
    "ResNet50": 23_520_842,
    "SmallCifarNet": 1_147_914,
    "hybrid": 15_553_098,
}


@pytest.mark.parametrize("name", models.NAMES)
def test_parameter_counts_are_those_of_the_studies(name: str) -> None:
    model = models.build(name).eval()
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_a_seed_gives_the_same_weights() -> None:
    first, second = (torch.manual_seed(3) and models.build("LeNet") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_torchvision_model_gets_the_number_of_classes() -> None:
    with torch.device("meta"):
        assert models.build("torchvision:squeezenet1_1", num_classes=7).num_classes == 7


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tests.failing:nothing", "has no callable 'nothing'"),
        ("tests.failing:Shapeless", "says no input_shape; give it the attribute"),
        ("tests.failing:Wide", r"input_shape = \(3, 224, 224\), the data \(3, 32, 32\); change image_size"),
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
