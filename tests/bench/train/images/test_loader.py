"""Who brings the images: both ways bring the same ones, in the same order."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.images.images import Images, load_images
from ampbench.bench.train.images.loader import split_by_step
from ampbench.bench.train.ranks import Ranks
from ampbench.bench.train.training import Training

CPU = torch.device("cpu")
CELL = Cell(
    model="tests.support.tiny:Net",
    data="digits",
    precision=RECIPES["fp32"],
    batch_size=400,
    image_size=8,
    num_threads=1,
)


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("digits", 8)


def seen(cell: Cell, images: Images) -> list[tuple[Tensor, Tensor]]:
    """The batches of an epoch that was left after one batch, and of the next."""
    training = Training(cell, images, CPU)
    return [*itertools.islice(training.batches(0), 1), *training.batches(1)]


@pytest.mark.parametrize("fields", [{"num_workers": 0}, {"num_workers": 2}, {"num_workers": 2, "drop_last": False}])
def test_both_loaders_bring_the_same_images_in_the_same_order(images: Images, fields: dict[str, Any]) -> None:
    cell = replace(CELL, **fields)
    expected, found = (seen(replace(cell, loader=loader), images) for loader in ("device", "dataloader"))
    assert len(found) == (1 + 3 if cell.drop_last else 1 + 4)
    for (x, y), (x_expected, y_expected) in zip(found, expected, strict=True):
        assert torch.equal(y, y_expected)
        assert torch.equal(x, x_expected)


def test_a_training_does_not_depend_on_its_loader(images: Images) -> None:
    """Dropout draws from torch's own generator, of which a DataLoader takes a number a start unless it has its own."""
    cell = replace(CELL, epochs=2, num_workers=2)
    losses = [
        [float(step.loss) for epoch in (0, 1) for step in training.steps(epoch)]
        for training in (Training(replace(cell, loader=loader), images, CPU) for loader in ("device", "dataloader"))
    ]
    assert len(losses[0]) == 6
    assert losses[0] == losses[1]


def test_the_images_of_a_dataloader_stay_on_the_host(images: Images) -> None:
    moved = images.to(torch.device("meta"), train=False)
    assert [x.device.type for x in (moved.train_x_NCHW, moved.train_y_N, moved.test_x_NCHW)] == ["cpu", "cpu", "meta"]


def test_ranks_share_out_every_batch_and_the_batch_is_that_of_one_process() -> None:
    cell = replace(CELL, batch_size=3, gpus=2)
    shares = [list(split_by_step(torch.arange(20), cell, Ranks(rank=r, world_size=2))) for r in (0, 1)]
    alone = list(split_by_step(torch.arange(20), replace(cell, gpus=1, batch_size=6), Ranks()))
    assert [len(share) for share in shares[0]] == [3, 3, 3]
    for own, other, whole in zip(*shares, alone, strict=True):
        assert sorted([*own.tolist(), *other.tolist()]) == whole.tolist()
