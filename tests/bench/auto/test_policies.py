"""Study S4's rules on made-up machines: each its own table, each to be named, and none stronger than a person."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ampbench.bench.auto.one_training import NUM_PARAMETERS
from ampbench.bench.auto.policies import MODELS, RULES, choose
from ampbench.bench.machine.hardware import Hardware, find_hardware
from ampbench.bench.plan.errors import RequestError
from ampbench.models import build
from ampbench.schema.choices import Choice
from tests.support.machines import EIGHT_OF_80_GB, NO_GPU, ONE_OF_8_GB, STUDY_S4, FakeBoard, FakeDriver, kernel


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what makes the hardware of a driver and so many cores."""

    def made(driver: FakeDriver, cores: int = 32, **files: str) -> Hardware:
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
        return find_hardware({}, library=driver, root=kernel(tmp_path, **files))

    return made


def boards(num: int, gib: float, capability: tuple[int, int] = (8, 6)) -> FakeDriver:
    return FakeDriver(*[FakeBoard("NVIDIA X", gib, capability)] * num)


def chosen(hardware: Hardware, given: dict[str, Any] | None = None, **keywords: Any) -> dict[str, Choice]:
    return {choice.field: choice for choice in choose(hardware, given or {}, **keywords)}


@pytest.mark.parametrize(
    ("driver", "model", "images_in_all"),
    [
        (NO_GPU, "SmallCifarNet", 128),
        (ONE_OF_8_GB, "SmallCifarNet", 128),
        (boards(1, 20), "SmallCifarNet", 256),
        (boards(1, 24), "SmallCifarNet", 256),
        (boards(1, 40), "PowerCifarNet_x1_5", 384),
        (boards(1, 80), "PowerCifarNet_x1_5", 512),
        (boards(2, 8), "PowerCifarNet_x1_5", 128),
        (STUDY_S4, "PowerCifarNet_x1_5", 384),
        (boards(3, 12), "PowerCifarNet_x1_5", 256),
        (boards(3, 24), "PowerCifarNet_x2_5", 512),
        (EIGHT_OF_80_GB, "PowerCifarNet_x2_5", 512),
    ],
)
def test_model_and_batch_follow_the_number_and_the_memory_of_the_boards(
    machine: Any, driver: FakeDriver, model: str, images_in_all: int
) -> None:
    """The table of study S4: 3 GPUs and 60 GB, 2 GPUs or 40 GB; 512 from 60 GB, 384 from 40, 256 from 20."""
    found = chosen(machine(driver))
    assert found["model"].value == model
    assert found["batch_size"].value * found["gpus"].value == pytest.approx(images_in_all, abs=found["gpus"].value)
    assert found["learning_rate"].value == pytest.approx(
        0.1 * math.sqrt(found["batch_size"].value * found["gpus"].value / 128), rel=1e-3
    )


def test_s4s_own_machine_trains_on_the_two_boards_of_one_model(machine: Any) -> None:
    found = chosen(machine(STUDY_S4))
    assert (found["gpus"].value, found["batch_size"].value) == (2, 192)
    assert found["gpus"].reason == "all 2 of NVIDIA GeForce RTX 3090"


@pytest.mark.parametrize(
    ("driver", "flags", "usual", "study"),
    [
        (NO_GPU, "avx2", "fp32", "fp32"),
        (NO_GPU, "avx512_bf16 avx512_fp16", "bf16_amp", "fp32"),
        (boards(1, 8, (6, 1)), "avx2", "fp32", "fp16_amp_scaled"),
        (ONE_OF_8_GB, "avx2", "fp16_amp_scaled", "fp16_amp_scaled"),
        (boards(1, 24), "avx2", "bf16_amp", "fp16_amp_scaled"),
    ],
)
def test_autocast_is_switched_on_by_itself_where_16_bit_is_fast(
    machine: Any, driver: FakeDriver, flags: str, usual: str, study: str
) -> None:
    hardware = machine(driver, flags=flags)
    assert chosen(hardware)["precision"].value == usual
    assert chosen(hardware, named={"precision": "study"})["precision"].value == study


def test_a_board_whose_capability_is_unknown_is_not_said_to_lack_anything(machine: Any) -> None:
    choice = chosen(machine(boards(1, 24, None)))["precision"]  # type: ignore[arg-type]
    assert (choice.value, choice.reason) == ("fp32", "the compute capability of NVIDIA X is not known")


def test_workers_are_none_for_images_on_the_device_and_else_by_batch_cores_or_memory(machine: Any) -> None:
    hardware = machine(EIGHT_OF_80_GB, cores=64)
    on_device = chosen(hardware)["num_workers"]
    assert on_device.value is None
    assert "the images stay on the device" in on_device.reason
    loading = {"loader": "dataloader"}
    assert chosen(hardware, context=loading)["num_workers"].value == 2, "64 images a GPU / 32"
    wide = chosen(hardware, {"batch_size": "1024"}, context=loading)
    assert wide["num_workers"].value == 8, "an eighth of 64 cores"
    one = {"gpus": "1", "batch_size": "1024"}
    assert chosen(hardware, one, context=loading)["num_workers"].value == 16
    by_memory = {"num_workers": "memory"}
    assert chosen(hardware, one, context=loading, named=by_memory)["num_workers"].value == 16
    small = machine(ONE_OF_8_GB, cores=2)
    assert chosen(small, context=loading, named=by_memory)["num_workers"].value == 2, "4, but there are 2 cores"
    limited = machine(ONE_OF_8_GB, cores=64, **{"sys__fs__cgroup__cpu.max": "100000 100000"})
    assert chosen(limited, context=loading)["num_workers"].value == 1, "the container has one"


def test_what_a_person_gives_wins_and_the_rules_follow_it(machine: Any) -> None:
    given = {"model": "ResNet18", "batch_size": "512", "precision": "fp32", "gpus": "1"}
    found = chosen(machine(STUDY_S4), given)
    assert {name: found[name].value for name in given} == given
    assert {found[name].by for name in given} == {"user"}
    assert found["learning_rate"].value == 0.2
    assert found["learning_rate"].by == "rule"
    rate = chosen(machine(STUDY_S4), {"learning_rate": "0.3"})["learning_rate"]
    assert (rate.value, rate.by) == ("0.3", "user")


def test_adam_gets_its_own_rate_for_the_rule_is_one_of_sgd(machine: Any) -> None:
    assert chosen(machine(NO_GPU), context={"optimizer": "adamw"})["learning_rate"].value == 0.001


def test_every_choice_has_a_reason_and_its_evidence_and_every_rule_can_be_named(machine: Any) -> None:
    for driver in (NO_GPU, ONE_OF_8_GB, STUDY_S4):
        hardware = machine(driver)
        for name, rules in RULES.items():
            for rule in rules:
                [choice] = choose(hardware, {}, named={name: rule}, fields=[name])
                assert (choice.field, choice.by) == (name, "rule")
                assert choice.reason
                assert choice.evidence


def test_no_such_rule_is_one_line_with_the_nearest(machine: Any) -> None:
    with pytest.raises(RequestError, match=r"no rule 'memmory'\. Did you mean 'memory'"):
        chosen(machine(NO_GPU), named={"batch_size": "memmory"})


def test_a_value_that_is_no_number_is_left_to_the_fields_own_check(machine: Any) -> None:
    assert chosen(machine(NO_GPU), {"batch_size": "many"})["learning_rate"].value == 0.1


def test_the_announced_numbers_of_parameters_are_those_of_the_networks() -> None:
    assert set(NUM_PARAMETERS) == set(MODELS.values())
    for name, count in NUM_PARAMETERS.items():
        with torch.device("meta"):  # nothing is drawn
            network = build(name)
        assert sum(p.numel() for p in network.parameters()) == count
