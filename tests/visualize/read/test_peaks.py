"""Peak memory: one instrument in a subject, the same for every reader of it, and its name beside the number."""

from __future__ import annotations

import pytest

from ampbench.schema.memory import MIB
from ampbench.visualize.figures.shared import memory_kinds
from ampbench.visualize.findings.memory import explain_memory
from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.decision.across import peak_bytes
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.decision.wishes import Wishes
from ampbench.visualize.judge.verdict.verdict import judge, verdicts_of
from ampbench.visualize.read.frame import read
from ampbench.visualize.read.peaks import instrument_of
from ampbench.visualize.show import table
from ampbench.visualize.show.exports import summary
from ampbench.visualize.show.overview import overview
from tests.visualize.conftest import cell

RESIDENT = {"fp32": 1500, "bf16_amp": 1185}
TENSORS = {"fp32": 700, "bf16_amp": 350}
SPEEDS = {"fp32": 1000.0, "bf16_amp": 2000.0}


@pytest.fixture
def measured(folder):
    """Write three timings of each recipe on a CPU; with the pass `memory` in some of the recipes."""

    def write(passes=("fp32", "bf16_amp")):
        for number in range(3):
            for recipe, speed in SPEEDS.items():
                over = {"memory_instrument": "rss", "steady_peak_bytes": (RESIDENT[recipe] + number) * MIB}
                over |= {"allocator_peak_bytes": TENSORS[recipe] * MIB} if recipe in passes else {}
                folder.add(cell(recipe, epochs=0, round=number), images_per_s=speed + number, **over)
        return read(folder.write())

    return write


def texts(found):
    """Return an answer as one text."""
    return "\n".join([found.headline, *(line.text for line in found.lines)])


def test_the_allocators_peak_is_the_one_quantity_where_every_recipe_has_one(measured):
    results = measured()
    rows = standings(results, verdicts_of(results))
    (answer,) = answers(results, rows)
    assert "50 % less memory (by the allocator)" in texts(answer)
    assert [table.shown(row)["MiB"] for row in rows] == ["700", "350"]
    assert "by torch's CPU allocator" in table.legend(results, [])
    assert [line["memory (by the allocator)"] for line in overview(rows)] == ["700 MiB", "350 MiB (-50 %)"]
    assert rows[1].verdict.memory.estimate == pytest.approx(0.5)
    exported = summary(results).rows
    assert list(exported["peak_mib"]) == [700, 350]
    assert set(exported["peak_instrument"]) == {"cpu_allocator"}
    assert sum(memory_kinds.parts_of(rows_of(results, "fp32"), instrument_of(results.ok)).values()) == 700
    assert peak_bytes(results.ok, rows[0]) == 700 * MIB


def test_the_resident_set_is_the_one_quantity_where_one_recipe_has_no_other(measured):
    results = measured(passes=("fp32",))
    rows = standings(results, verdicts_of(results))
    (answer,) = answers(results, rows)
    assert "21 % less memory (resident set)" in texts(answer)
    assert [table.shown(row)["MiB"] for row in rows] == ["1,501", "1,186"]
    assert "resident set" in table.legend(results, [])
    assert "(resident set), which counts libraries" in explain_memory(results, "fp32", "bf16_amp").sentence
    assert explain_memory(results, "fp32", "bf16_amp").waterfall is None


def test_the_most_memory_that_a_reader_has_is_of_the_same_quantity(measured):
    results = measured()
    rows = standings(results, verdicts_of(results))
    (within,) = answers(results, rows, Wishes(max_memory_bytes=800 * MIB))
    (beyond,) = answers(results, rows, Wishes(max_memory_bytes=300 * MIB))
    assert (within.action, beyond.action) == ("train", "none")
    assert (results.ok["startup_peak_bytes"] > 800 * MIB).any(), "the resident set's start-up is another quantity"


def test_a_cell_that_did_not_end_well_takes_no_quantity_away(measured, folder):
    folder.add(cell("bf16_amp", epochs=0, round=9), "diverged", memory_instrument="rss")
    results = measured()
    assert instrument_of(results.cells).names == ("cpu_allocator",)


def test_peaks_of_two_instruments_have_no_ratio(folder):
    folder.add(cell("fp32"), memory_instrument="cuda_allocator")
    folder.add(cell("bf16_amp"), memory_instrument="rss")
    (found,) = judge(read(folder.write()).cells)
    assert found.memory is None


def test_a_peak_of_zero_was_not_measured_by_anything(matrix):
    results = read(matrix(over={"steady_peak_bytes": 0}))
    assert instrument_of(results.ok).names == ()
    assert "MiB" not in table.legend(results, [])


def rows_of(results, recipe):
    """Return the cells of a recipe that ran to their end."""
    return results.ok[results.ok["recipe"] == recipe]
