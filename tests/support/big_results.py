"""Large folders of results, for the time and size of a report: `python -m tests.support.big_results DIR 495`.

495 cells are trained: one model, 9 recipes, 11 batch sizes, 5 seeds. Of 10,000 cells the speed is measured: 10 models,
10 recipes, 10 batch sizes, 10 rounds. Any other number takes the first cells of the second kind, or with `--trained`
of the first kind with as many batch sizes as needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ampbench.bench.plan.cell import Cell
from ampbench.schema.recipes import RECIPE_NAMES
from tests.visualize.conftest import Folder, cell

TRAINED = 495
MODELS = ("VGG11", "VGG13", "VGG16", "VGG19", "ResNet18", "ResNet34", "ResNet50", "LeNet", "vit_small", "hybrid")


def big_results(path: Path, num_cells: int, *, trained: bool | None = None, epochs: int = 20) -> Path:
    """Write a folder of results with so many cells; trained by default only if there are at most `TRAINED`."""
    if trained is None:
        trained = num_cells <= TRAINED
    folder = Folder(path)
    kind = _trained(epochs) if trained else _timed()
    for one in itertools.islice(kind, num_cells):
        folder.add(one)
    return folder.write()


def _trained(epochs: int) -> Iterator[Cell]:
    """Yield cells of one model; each further 45 cells have another batch size."""
    for k in itertools.count():
        for seed in range(5):
            for recipe in RECIPE_NAMES[:9]:
                yield cell(recipe, 16 * (k + 1), seed, epochs=epochs)


def _timed() -> Iterator[Cell]:
    """Yield cells of 10 models without a training."""
    for round_, model, k, recipe in itertools.product(range(1000), MODELS, range(10), RECIPE_NAMES):
        yield cell(recipe, 2 ** (k + 2), 0, model=model, epochs=0, round=round_)


def main(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="Where the results are written.")],
    num_cells: Annotated[int, typer.Argument(metavar="CELLS", min=1)] = TRAINED,
    trained: Annotated[bool | None, typer.Option(help="Whether the cells were trained.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of each training; 10 steps each.")] = 20,
) -> None:
    """Write a large folder of results."""
    print(big_results(path, num_cells, trained=trained, epochs=epochs))


if __name__ == "__main__":
    typer.run(main)
