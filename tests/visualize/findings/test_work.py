"""What limits a step, and how much of the board it uses: sentences and a figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from ampbench.visualize.figures import phases
from ampbench.visualize.findings import work
from ampbench.visualize.read.frame import read
from ampbench.visualize.show import work_table
from tests.visualize.conftest import Folder, cell

PHASES: dict[str, Any] = {"data_ms": 1.0, "forward_ms": 10.0, "backward_ms": 20.0, "update_ms": 2.0}
FACTS: dict[str, Any] = {
    "bound": "launch",
    "bound_because": "the device is idle for 40% of a step",
    "mfu_measured": 0.12,
    "measured_peak_tflops": 700.0,
    "joules_per_image": 0.0125,
    "num_invalid_blocks": 3,
}


def test_a_recipe_s_work_is_a_row_of_a_table(matrix: Callable[..., Path]) -> None:
    rows = work.rows_of(read(matrix(recipes=("fp32", "bf16_amp"), seeds=(0, 1), over=FACTS)))
    assert list(rows["recipe"]) == ["fp32", "bf16_amp"]
    assert list(rows["bound"]) == ["launch", "launch"]
    assert list(rows["num_invalid_blocks"]) == [6, 6], "of both seeds together"
    [(title, heads, lines)] = work_table.tables(rows)
    assert title == "Work of a step: VGG19, batch 128"
    assert heads == ["precision", "bound by", "of peak %", "lost blocks"]
    assert [lines[1][head] for head in heads] == ["bf16_amp", "launch", "12.0", "6"]


def test_a_step_by_kind_of_work_is_shown_in_shares_of_it(matrix: Callable[..., Path]) -> None:
    parts = dict.fromkeys(work.PARTS, 0.0) | {"work_matmul_conv_ms": 6.0, "work_optimizer_ms": 1.0, "work_idle_ms": 3.0}
    results = read(matrix(recipes=("fp32",), seeds=(0,), over=parts | {"step_ms": 10.0, "matmul_conv_share": 0.9}))
    [(_, heads, [line])] = work_table.tables(work.rows_of(results))
    assert [line[head] for head in ("step ms", "matmul %", "update %", "idle %")] == ["10", "60", "10", "30"]
    assert "products %" not in heads, "it is said by kind"


def test_the_kinds_of_work_of_processes_that_differ_sum_to_the_step(folder: Folder) -> None:
    idle = dict.fromkeys(work.PARTS, 0.0)
    for number, (step, matmul) in enumerate(((73.0, 6.0), (13.0, 8.0))):
        parts = idle | {"work_matmul_conv_ms": matmul, "work_idle_ms": step - matmul}
        folder.add(cell("fp32", epochs=0, round=number), step_ms=step, **parts)
    row = work.rows_of(read(folder.write())).iloc[0]
    assert sum(row[part] for part in work.PARTS) == pytest.approx(row["step_ms"])
    assert row["work_matmul_conv_ms"] / row["step_ms"] == pytest.approx((6 / 73 + 8 / 13) / 2)


def test_every_column_of_work_is_explained(matrix: Callable[..., Path]) -> None:
    shares = {"matmul_conv_share": 0.5, "kernel_ms": 1.0, "step_ms": 2.0, "mfu_vendor": 0.1}
    tables = work_table.tables(work.rows_of(read(matrix(seeds=(0,), over=FACTS | shares))))
    for head in ("bound by", "products %", "kernels %", "of peak %", "of vendor %", "lost blocks"):
        assert f"{head}:" in work_table.legend(tables).replace("Bound by", "bound by")


def test_nothing_is_said_of_what_was_not_measured(matrix: Callable[..., Path]) -> None:
    results = read(matrix())
    assert work_table.tables(work.rows_of(results)) == []
    _, ax = plt.subplots()
    assert "No phases" in phases.draw(results, ax).texts[0].get_text()


def test_a_bar_is_as_long_as_its_phases_together(matrix: Callable[..., Path]) -> None:
    results = read(matrix(over=PHASES))
    _, ax = plt.subplots()
    assert phases.draw(results, ax) is ax
    ends = [patch.get_x() + patch.get_width() for patch in ax.patches]  # type: ignore[attr-defined]
    assert max(ends) == pytest.approx(33)
    assert list(phases.by_recipe(results).index) == ["fp32", "bf16_amp"]
    assert [text.get_text() for text in ax.texts] == ["10.0", "20.0", "33.0"] * 2, (
        "the narrow parts have no room for a number, and the sum is behind the bar"
    )
    assert "bf16_amp data 1, forward 10, backward 20, update 2" in phases.describe(results)
