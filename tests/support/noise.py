"""Folders of results in which all recipes are truly equal: whatever is advised there is false.

`python -m tests.support.noise 500` counts how often the whole line, from the cells to the answer, advises a recipe.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ampbench.schema.margins import RUN_SD_POINTS
from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.read.frame import Results, read
from tests.visualize.conftest import Folder, cell

RECIPES = ("fp32", "tf32", "bf16_amp", "fp16_amp_scaled")


def folder_of_noise(
    path: Path, num_rounds: int, *, batch_sizes: tuple[int, ...] = (64, 128), epochs: int = 0
) -> Results:
    """Write a folder of recipes at some batch sizes and return it; its rounds are seeds where it is trained."""
    folder = Folder(path)
    for number, size, recipe in itertools.product(range(num_rounds), batch_sizes, RECIPES):
        which = {"seed": number} if epochs else {"round": number}
        folder.add(cell(recipe, size, epochs=epochs, **which))
    return read(folder.write())


def drawn_again(results: Results, rng: np.random.Generator, *, spread: float = 0.03, sigma: float = 0.6) -> Results:
    """Return the same cells with speeds and accuracies of equal truth.

    Args:
        results: from `folder_of_noise`.
        rng: draws the noise.
        spread: median spread of a process, as a share.
        sigma: how much the spreads of recipes differ: that of the logs. One process in 40 is 2 to 20 % slower.
    """
    cells = results.whole
    spreads = cells.groupby(["batch_size", "recipe"], observed=True)["seed"].transform(
        lambda own: spread * np.exp(sigma * rng.standard_normal())
    )
    logs = np.log(1000.0) + spreads.to_numpy(dtype=float) * rng.standard_normal(len(cells))
    logs -= (rng.random(len(cells)) < 0.025) * rng.uniform(0.02, 0.2, len(cells))
    shares = 0.93 + RUN_SD_POINTS / 100 * rng.standard_normal(len(cells))
    drawn = cells.assign(
        images_per_s=np.exp(logs),
        steady_peak_bytes=2**30,
        test_accuracy=pd.Series(shares, index=cells.index).where(cells["epochs"] > 0),
    )
    return dataclasses.replace(results, cells=drawn, whole=drawn, judged={})


def advised(results: Results, num: int, rng: np.random.Generator) -> Iterator[bool]:
    """Yield for `num` drawn folders whether a recipe is advised although none is better."""
    for _ in range(num):
        drawn = drawn_again(results, rng)
        yield any(a.action == "train" for a in answers(drawn, standings(drawn, verdicts_of(drawn))))


if __name__ == "__main__":
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for rounds, trained in itertools.product((2, 3, 5), (0, 2)):
        with tempfile.TemporaryDirectory() as made:
            noise = folder_of_noise(Path(made) / "x", rounds, epochs=trained)
            share = np.mean(list(advised(noise, many, np.random.default_rng(0))))
        what = "seeds" if trained else "rounds"
        print(f"{rounds} {what}: a recipe is advised in {share:.1%} of {many} folders of noise")
