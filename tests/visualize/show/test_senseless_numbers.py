"""Numbers that nothing can have measured: they count as not measured, and no library warns of them."""

from __future__ import annotations

import warnings

import pytest

from ampbench.visualize import report
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.verdict import judge
from ampbench.visualize.read.frame import read
from ampbench.visualize.show import learning, pictures, table
from tests.visualize.conftest import cell

SENSELESS = {
    "zero": dict.fromkeys(("images_per_s", "step_ms", "joules_per_image"), 0.0) | {"steady_peak_bytes": 0},
    "negative": dict.fromkeys(("images_per_s", "step_ms", "joules_per_image"), -1.0) | {"steady_peak_bytes": -1},
    "tiny": dict.fromkeys(("images_per_s", "step_ms", "joules_per_image"), 1e-300),
    "huge": dict.fromkeys(("images_per_s", "step_ms", "joules_per_image"), 1e300),
}


def fill(folder, over):
    """Write two seeds of two recipes, of which the second one is senseless."""
    for seed in range(2):
        folder.add(cell("fp32", seed=seed, epochs=3), energy_instrument="energy_counter", joules_per_image=0.3)
        folder.add(cell("bf16_amp", seed=seed, epochs=3), energy_instrument="energy_counter", **over)
    return folder.write()


@pytest.mark.parametrize("over", SENSELESS.values(), ids=SENSELESS)
def test_a_senseless_number_is_shown_as_not_measured(over, folder):
    results = read(fill(folder, over))
    row = standings(results, judge(results.cells))[1]
    assert table.shown(row)["images/s"] == table.shown(row)["mJ/image"] == table.MISSING
    assert any(concern.text.startswith("no speed in 2 of 2 runs") for concern in row.concerns)


@pytest.mark.parametrize("accuracy", [-1.0, 93.0])
def test_an_accuracy_that_is_no_share_is_in_no_table(accuracy, folder):
    rows = learning.rows_of(read(fill(folder, {"test_accuracy": accuracy})))
    shown = [line["final %"] for title, _, lines in learning.tables(rows) for line in lines if "learned" in title]
    assert shown[1] == table.MISSING
    assert shown[0] != table.MISSING


@pytest.mark.whole
@pytest.mark.parametrize("of_both", [False, True])
@pytest.mark.parametrize("over", SENSELESS.values(), ids=SENSELESS)
def test_no_library_warns_while_senseless_numbers_are_drawn(over, of_both, folder, monkeypatch):
    monkeypatch.setattr(pictures, "DPI", 30)
    if of_both:
        folder.add(cell("fp32", 128, 7, epochs=3), **over)
        folder.add(cell("bf16_amp", 128, 7, epochs=3), **over)
        path = folder.write()
    else:
        path = fill(folder, over)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = report.write_report(path)
    assert page.exists()
