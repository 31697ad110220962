"""What limits a step, and how much of the board it uses: sentences and a figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from ampbench.visualize.figures import phases
from ampbench.visualize.findings import work
from ampbench.visualize.read.frame import read

PHASES: dict[str, Any] = {"data_ms": 1.0, "forward_ms": 10.0, "backward_ms": 20.0, "update_ms": 2.0}
FACTS: dict[str, Any] = {
    "bound": "launch",
    "bound_because": "the device is idle for 40% of a step",
    "mfu_measured": 0.12,
    "measured_peak_tflops": 700.0,
    "joules_per_image": 0.0125,
    "num_invalid_blocks": 3,
}


def test_a_recipe_s_work_is_told_in_a_sentence(matrix: Callable[..., Path]) -> None:
    (sentence,) = work.findings(read(matrix(recipes=("bf16_amp",), seeds=(0,), over=FACTS)))
    assert sentence == (
        "VGG19 at batch 128: bf16_amp is launch-bound (the device is idle for 40% of a step); bf16_amp reaches 12% of "
        "the measured peak of 700 TFLOP/s, takes 12.5 mJ per image, lost 3 blocks because the board slowed down."
    )


def test_recipes_with_the_same_bound_share_a_clause_each_with_its_own_figure() -> None:
    def cells(label: str, because: str) -> pd.DataFrame:
        return pd.DataFrame({"bound": [label], "bound_because": [because]})

    products = "{}% of the time in operators is matrix products"
    by_recipe = {
        "fp32": cells("compute", products.format(53)),
        "fp16": cells("compute", products.format(88)),
        "bf16": cells("memory", products.format(45)),
        "tf32": pd.DataFrame({"bound": [None], "bound_because": [None]}),
    }
    assert work.bounds(by_recipe) == [
        "fp32, fp16 are compute-bound (53%, 88% of the time in operators is matrix products)",
        "bf16 is memory-bound (45% of the time in operators is matrix products)",
    ]


def test_nothing_is_said_of_what_was_not_measured(matrix: Callable[..., Path]) -> None:
    results = read(matrix())
    assert work.findings(results) == []
    _, ax = plt.subplots()
    assert "No phases" in phases.draw(results, ax).texts[0].get_text()


def test_a_bar_is_as_long_as_its_phases_together(matrix: Callable[..., Path]) -> None:
    results = read(matrix(over=PHASES))
    _, ax = plt.subplots()
    assert phases.draw(results, ax) is ax
    ends = [patch.get_x() + patch.get_width() for patch in ax.patches]  # type: ignore[attr-defined]
    assert max(ends) == pytest.approx(33)
    assert list(phases.by_recipe(results).index) == ["fp32", "bf16_amp"]
    assert [text.get_text() for text in ax.texts] == ["10", "20"] * 2, "the narrow parts have no room for a number"
    assert "bf16_amp data 1, forward 10, backward 20, update 2" in phases.describe(results)
