"""On a real GPU: what NVML tells without CUDA is what torch finds, and a recipe runs where its ability says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from ampbench.bench.auto.checks import boards_usable, torch_agrees
from ampbench.bench.launch.readiness.finding import Subject
from ampbench.bench.machine.hardware import find_hardware
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.precision.precision import require_support
from ampbench.bench.train.statuses import Unsupported

pytestmark = pytest.mark.gpu


def test_memory_and_capability_of_the_report_are_those_of_torch() -> None:
    gpus = find_hardware(os.environ).gpus
    assert gpus
    seen = {torch.cuda.get_device_name(i): i for i in range(torch.cuda.device_count())}
    for gpu in gpus:
        properties = torch.cuda.get_device_properties(seen[gpu.name])
        assert gpu.capability == (properties.major, properties.minor)
        assert gpu.memory_bytes is not None
        assert properties.total_memory <= gpu.memory_bytes * 1.01, "the driver keeps some"
        assert properties.total_memory >= gpu.memory_bytes * 0.9


@pytest.mark.parametrize(("recipe", "ability"), [("bf16_amp", "bf16"), ("tf32", "tf32"), ("fp8", "fp8")])
def test_a_recipe_is_supported_where_the_report_says_so(recipe: str, ability: str) -> None:
    gpu = find_hardware(os.environ).gpus[0]
    try:
        require_support(RECIPES[recipe], torch.device("cuda", 0))
    except Unsupported:
        assert ability not in gpu.abilities
    else:
        assert ability in gpu.abilities


def test_driver_and_torch_are_found_healthy() -> None:
    subject = Subject(results=Path("results"), data=())
    assert boards_usable(subject).level == "ok"
    found = torch_agrees(subject)
    assert found.level == "ok", found
    assert "computes on" in found.said
