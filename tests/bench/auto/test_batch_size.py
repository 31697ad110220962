"""The batch size of each recipe, found by trials that end by laws of memory and speed."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from ampbench.bench.auto import batch_search
from ampbench.bench.auto.batch_size import find_batch, search_in
from ampbench.bench.auto.largest_batch import grid_step
from ampbench.bench.auto.memory_limit import MARGIN
from ampbench.bench.auto.trials import as_trial
from ampbench.bench.launch.options import Options
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.schema.choices import Choice
from ampbench.schema.identity import Ending
from tests.support.lawful import Lawful, linear
from tests.support.thinned import thinned

pytestmark = pytest.mark.usefixtures("unjoined")

SUBJECT = {"model": "ResNet18", "data": "cifar10", "learning_rate": 0.05}
GIB = 2**30
MEMORY = linear(200, 4)

Find = Callable[..., dict[tuple[str, str], Choice]]


def saturating(cell: Cell) -> float:
    """Nine tenths of the speed from 270 images on."""
    return 10_000 * cell.batch_size / (cell.batch_size + 30)


@pytest.fixture
def find(tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch) -> Find:
    """Return a function that finds the batch sizes of fp32 and bf16_amp; predictions are those of the memory's law."""
    monkeypatch.setattr(batch_search, "predict_memory", predicted)

    def run(launcher: Lawful, recipes: Sequence[Any] = ("fp32", "bf16_amp"), **changes: Any) -> Any:
        given = {"minutes": 60.0, "max_memory_bytes": 4 * GIB} | changes
        subject = SUBJECT | given.pop("subject", {})
        choices = find_batch(
            subject, recipes, folder=tmp_path, options=Options(launcher=launcher), console=console, **given
        )
        return {(choice.field, choice.subject): choice for choice in choices}

    return run


def predicted(cells: Sequence[Cell], tell: Callable[[str], None]) -> dict[str, int | str]:
    """What fake tensors would say: the tensors, without the libraries and workspaces."""
    return {cell.cell_id: MEMORY(cell) - 150 * 2**20 for cell in cells}


def test_each_recipe_gets_its_knee_and_the_largest_that_fits(find: Find) -> None:
    launcher = Lawful(endings={}, bytes_of=MEMORY, images_per_s=saturating)
    found = find(launcher)
    for recipe, mib_per_image in (("fp32", 4), ("bf16_amp", 2)):
        knee = found["batch_size", recipe].value
        assert isinstance(knee, int)
        assert saturating(replace(launcher.tried[0], batch_size=knee)) >= 0.9 * 10_000
        largest = found["largest_batch_size", recipe].value
        assert isinstance(largest, int)
        most = ((1 - MARGIN) * 4096 - 200) / mib_per_image
        assert largest <= most < largest + grid_step(largest)
    assert len(launcher.tried) <= 2 * 16
    assert len({cell.cell_id for cell in launcher.tried}) == len(launcher.tried)


def test_the_reason_says_the_share_of_the_best_speed_and_what_more_would_give(find: Find) -> None:
    found = find(Lawful(endings={}, bytes_of=MEMORY, images_per_s=saturating))
    assert re.match("9[5-9]% of the best images/s; [0-9,]+ gives [1-5]% more", found["batch_size", "fp32"].reason)
    largest = found["largest_batch_size", "fp32"].reason
    assert largest.startswith("fits in 3.8 GiB (4 GiB was the limit, less a margin); ")
    assert "runs out of memory" in largest
    assert "batch_4_gib.toml --results" in found["batch_size", "fp32"].evidence


def test_a_search_that_was_interrupted_goes_on_without_repeating_a_trial(find: Find) -> None:
    whole = Lawful(endings={}, bytes_of=MEMORY, images_per_s=saturating, interrupt_at=7)
    with pytest.raises(KeyboardInterrupt):
        find(whole)
    rest = Lawful(endings={}, bytes_of=MEMORY, images_per_s=saturating)
    found = find(rest)
    assert len(whole.tried) == 7
    assert not {cell.cell_id for cell in whole.tried} & {cell.cell_id for cell in rest.tried}
    again = Lawful(endings={}, bytes_of=MEMORY, images_per_s=saturating)
    assert find(again).keys() == found.keys()
    assert {key: one.value for key, one in find(again).items()} == {key: one.value for key, one in found.items()}
    assert again.tried == []


def test_the_trials_can_be_run_again_by_hand(find: Find, tmp_path: Path) -> None:
    own = Recipe(name="mine", compute="fp16", loss_scale="static:1024")
    launcher = Lawful(endings={}, bytes_of=MEMORY, images_per_s=saturating)
    subject = {"augment": [], "model_args": {"width": 1.5}, "model": "PowerCifarNet", "seed": 3, "epochs": 10}
    find(launcher, ["fp16_amp_scaled", own], subject=subject)
    plan = make_plan(read_experiment(tmp_path / "batch_4_gib.toml"))
    assert {cell.cell_id for cell in plan.cells} == {cell.cell_id for cell in launcher.tried}
    assert all(cell.epochs == 0 and cell.augment == () and cell.model_args for cell in plan.cells)


@pytest.mark.parametrize("seed", thinned(range(5), kept=2))
def test_with_noise_of_3_per_cent_the_knee_is_within_10_per_cent_of_a_full_sweep(find: Find, seed: int) -> None:
    draw = random.Random(seed)
    law = Lawful(
        endings={}, bytes_of=MEMORY, images_per_s=lambda cell: saturating(cell) * math.exp(draw.gauss(0, 0.03))
    )
    knee = find(law, ["fp32"])["batch_size", "fp32"].value
    assert isinstance(knee, int)
    sweep = [saturating(as_trial(law.tried[0], size)) for size in (16, 32, 64, 128, 256, 512)]
    assert saturating(as_trial(law.tried[0], knee)) >= 0.88 * max(sweep)


def test_when_the_time_is_over_the_largest_is_predicted(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = Lawful(endings={}, bytes_of=MEMORY, images_per_s=saturating)
    monkeypatch.setattr("time.monotonic", lambda: 7.0 * len(launcher.tried))
    found = find(launcher, ["fp32"], minutes=0.5)
    assert len(launcher.tried) == 4
    largest = found["largest_batch_size", "fp32"]
    assert largest.by == "prediction"
    assert largest.value == pytest.approx(922, rel=0.07)


def test_a_net_that_fits_at_no_batch_is_said_in_one_line(find: Find) -> None:
    with pytest.raises(RequestError) as told:
        find(Lawful(endings={}, bytes_of=linear(9000, 4)))
    assert "ResNet18 trains at no batch size here (4 GiB was the limit)" in str(told.value)
    assert "fp32 and bf16_amp: batch size 1, the smallest that was tried, runs out of memory" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_recipe_that_fits_nowhere_leaves_the_others_their_batch(find: Find) -> None:
    def bytes_of(cell: Cell) -> int:
        return MEMORY(cell) + (9 * GIB if cell.precision.name == "fp32" else 0)

    found = find(Lawful(endings={}, bytes_of=bytes_of))
    assert found["batch_size", "fp32"].value is None
    assert found["batch_size", "bf16_amp"].value


def test_an_unsupported_recipe_is_tried_once_and_its_reason_kept(find: Find) -> None:
    def ends(cell: Cell) -> Ending | None:
        return Ending(status="unsupported", because="TF32 is a mode of NVIDIA GPUs") if cell.precision.tf32 else None

    launcher = Lawful(endings={}, bytes_of=MEMORY, ends=ends)
    found = find(launcher, ["fp32", "tf32"])
    assert found["batch_size", "tf32"] == replace(
        found["batch_size", "tf32"], value=None, reason="TF32 is a mode of NVIDIA GPUs"
    )
    assert sum(cell.precision.tf32 for cell in launcher.tried) == 1


def test_an_error_that_is_no_lack_of_memory_ends_the_search_in_one_line(find: Find) -> None:
    def ends(cell: Cell) -> Ending | None:
        wants_64 = Ending(status="failed", because="ValueError: expected 64 images")
        return None if cell.batch_size == 64 else wants_64

    launcher = Lawful(endings={}, bytes_of=MEMORY, ends=ends)
    with pytest.raises(
        RequestError, match=r"b16 s0: .* failed: ValueError: expected 64 images; if that is for the batch size"
    ):
        find(launcher)
    assert len(launcher.tried) == 2


def test_one_image_alone_fails_by_batchnorm_and_that_is_no_size(find: Find) -> None:
    def ends(cell: Cell) -> Ending | None:
        lonely = Ending(status="failed", because="ValueError: Expected more than 1 value per channel")
        return lonely if cell.batch_size == 1 else None

    with pytest.raises(RequestError, match=r"batch size 1, .*Expected more than 1 value"):
        find(Lawful(endings={}, bytes_of=linear(9000, 4), ends=ends))


def test_a_process_that_the_kernel_killed_ran_out_of_memory(find: Find) -> None:
    def ends(cell: Cell) -> Ending | None:
        killed = Ending(status="crashed", because="killed by SIGKILL in phase warm-up; the kernel does this")
        return killed if cell.batch_size > 300 else None

    found = find(Lawful(endings={}, bytes_of=MEMORY, images_per_s=saturating, ends=ends), ["fp32"])
    assert found["largest_batch_size", "fp32"].value == 288


def test_a_batch_is_never_larger_than_the_training_set(find: Find) -> None:
    launcher = Lawful(endings={}, bytes_of=linear(10, 0.01), images_per_s=saturating, num_train_images=100)
    found = find(launcher, ["fp32"], subject={"data": "synthetic"})
    assert max(cell.batch_size for cell in launcher.tried) == 100
    assert found["largest_batch_size", "fp32"].value == 100
    assert found["largest_batch_size", "fp32"].reason.endswith("all training images")


def test_a_folder_of_fewer_images_than_the_first_batch_is_tried_as_a_whole(find: Find, tmp_path: Path) -> None:
    for split, number in itertools.product(("train", "test"), range(9)):
        path = tmp_path / "images" / split / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(path)
    launcher = Lawful(endings={}, bytes_of=MEMORY, images_per_s=saturating, num_train_images=9)
    found = find(launcher, ["fp32"], subject={"data": f"folder:{tmp_path / 'images'}"})
    assert (found["batch_size", "fp32"].value, found["batch_size", "fp32"].reason) == (9, "all training images")
    assert [cell.batch_size for cell in launcher.tried] == [9], "none of 16 that had to fail"


def test_a_training_set_of_fewer_images_than_the_first_batch_is_no_error(find: Find) -> None:
    def ends(cell: Cell) -> Ending | None:
        refused = Ending(status="failed", because="batch_size = 16 is more than the 10 training images")
        return refused if cell.batch_size > 10 else None

    launcher = Lawful(endings={}, bytes_of=MEMORY, ends=ends, num_train_images=10)
    assert find(launcher, ["fp32"])["batch_size", "fp32"].value in (8, 10)


def test_the_limit_of_the_first_trial_holds_for_later_ones(tmp_path: Path, console: Console) -> None:
    options = Options(launcher=Lawful(endings={}, bytes_of=MEMORY))
    first = search_in(tmp_path, options, console, asked_bytes=GIB)
    first.trials.run([as_trial(Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=16), 16)], ())
    assert first.trials.earlier().budget.memory_gib_per_cell == pytest.approx(0.95, abs=1e-3)  # type: ignore[union-attr]
    assert search_in(tmp_path, options, console, asked_bytes=GIB).limit.limit_bytes == pytest.approx(GIB, rel=1e-3)  # type: ignore[union-attr]
    assert search_in(tmp_path, options, console, asked_bytes=2 * GIB).trials.file != first.trials.file


def test_an_unknown_recipe_is_said_in_one_line(find: Find) -> None:
    with pytest.raises(RequestError, match="'bf61' is no recipe\\. Did you mean 'bf16'"):
        find(Lawful(endings={}, bytes_of=MEMORY), ["bf61"])
