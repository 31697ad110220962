"""A last batch of one image is found before the training."""

from __future__ import annotations

import dataclasses

import pytest

from ampbench.bench.plan.data_place import NUM_TRAINING_IMAGES
from ampbench.bench.plan.last_batch import fewest_images, one_image_note
from ampbench.bench.train.images.images import load_images
from tests.habits import batches
from tests.habits.ending import Net, cell_of, end

LAST_OF_ONE = {"batch_size": 359, "drop_last": False}
"""1,437 images are 4 batches of 359 and one image."""


def test_a_last_batch_of_one_before_a_batchnorm_ends_before_the_first_update() -> None:
    row = end(batches.NormAtTheEnd, **LAST_OF_ONE)
    assert row["status"] == "failed"
    assert "tests.habits.batches:NormAtTheEnd: last: drop_last = false leaves a last batch of one" in row["because"]
    assert "use drop_last = true or another batch size" in row["because"]
    assert row["num_steps"] == 0


@pytest.mark.parametrize("model", [Net, batches.NormAtTheEndFrozen])
def test_a_batchnorm_that_sees_more_of_an_image_or_does_not_train_takes_it(model: type[Net]) -> None:
    row = end(model, **LAST_OF_ONE)
    assert (row["status"], row["because"]) == ("ok", None)
    assert row["num_steps"] == 5


def test_parts_of_one_image_are_refused_alike() -> None:
    row = end(batches.NormAtTheEnd, batch_size=64, accumulation=64)
    assert row["status"] == "failed"
    assert "accumulation = 64 leaves a part of one image" in row["because"]
    assert end(Net, batch_size=64, accumulation=64)["status"] == "ok"


@pytest.mark.parametrize(
    ("fields", "num_images", "fewest"),
    [
        ({"batch_size": 64}, 1437, 64),
        ({"batch_size": 64, "drop_last": False}, 1437, 29),
        ({"batch_size": 359, "drop_last": False}, 1437, 1),
        ({"batch_size": 359}, 1437, 359),
        ({"batch_size": 12, "accumulation": 5}, 120, 3),
        ({"batch_size": 10, "accumulation": 3}, 100, 2),
        ({"batch_size": 64, "accumulation": 2, "drop_last": False}, 67, 1),
        ({"batch_size": 4, "accumulation": 4}, 100, 1),
    ],
)
def test_the_fewest_images_at_once(fields: dict[str, object], num_images: int, fewest: int) -> None:
    assert fewest_images(cell_of(Net, **fields), num_images) == fewest


def test_the_plan_says_it_where_the_data_s_size_is_known() -> None:
    cell = cell_of(Net, **LAST_OF_ONE)
    assert one_image_note(cell) == (
        "batch_size = 359: drop_last = false leaves a last batch of one image out of 1,437, on which a BatchNorm that "
        "sees one value a channel cannot train; use drop_last = true or another batch size"
    )
    assert one_image_note(dataclasses.replace(cell, batch_size=64)) is None
    assert one_image_note(dataclasses.replace(cell, data="folder:x")) is None


@pytest.mark.parametrize("data", ["digits", "synthetic"])
def test_the_known_sizes_are_those_of_the_data(data: str) -> None:
    assert NUM_TRAINING_IMAGES[data] == len(load_images(data, 16).train_y_N)
