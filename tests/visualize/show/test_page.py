"""What the page says, without a browser: its words, its tables' data, and that text cannot become markup."""

from __future__ import annotations

import json
import re

import pytest

from ampbench.schema.recipes import RECIPE_NAMES
from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict import verdict
from ampbench.visualize.read import frame
from ampbench.visualize.show import curve_data, page_table, table
from ampbench.visualize.show.page import render
from tests.visualize.conftest import cell


def page_of(path, mixed=False):
    """Return the page of a folder without its figures, which take most of the time."""
    results = frame.read(path, mixed=mixed)
    verdicts = verdict.judge(results.cells)
    rows = standings(results, verdicts)
    return render(results, rows, table.legend(results, verdicts), answers(results, rows), [])


def data_of(html, name):
    """Return the data of a table of the page."""
    return json.loads(re.search(rf'id="{name}".*?<script type="application/json">(.*?)</script>', html, re.DOTALL)[1])


def test_the_data_of_the_table_hold_every_row_once(matrix):
    path = matrix(recipes=RECIPE_NAMES[:9], batch_sizes=range(16, 16 * 8, 16), seeds=(0, 1), epochs=0)
    html = page_of(path)
    data = data_of(html, "results")
    heads = [column["head"] for column in data["columns"]]
    recipes = data["columns"][heads.index("precision")]["values"]
    found = [(row[heads.index("batch")], recipes[row[heads.index("precision")]]) for row in data["rows"]]
    assert len(found) == len(set(found)) == 9 * 7
    assert recipes == list(RECIPE_NAMES[:9])
    assert html.count("<tr>") < 9 * 7 + 40  # the rest is data
    assert f"The first {page_table.MOST_PLAIN} rows" in html


@pytest.mark.parametrize(
    ("switches", "is_dirty", "words", "answer"),
    [("{}", False, "none", "no"), ('{"OMP_NUM_THREADS": "2"}', True, "OMP_NUM_THREADS=2", "yes")],
)
def test_switches_and_flags_are_words(switches, is_dirty, words, answer, matrix):
    html = page_of(matrix(over={"switches": switches, "git_dirty": is_dirty}))
    assert f"<dt>switches</dt><dd>{words}</dd>" in html
    assert f"<dt>uncommitted changes</dt><dd>{answer}</dd>" in html


def test_text_cannot_become_markup_or_end_the_script(folder):
    evil = "</script><script>alert(1)</script><!--"
    folder.plan = {"question": evil, "toml": evil, "command": evil}
    for model in (evil, "LeNet"):
        folder.add(cell("fp32", model=model))
        folder.add(cell("bf16", model=model), "crashed", because=evil)
    html = page_of(folder.write())
    assert "<script>alert" not in html
    assert "<!--" not in html
    assert "&lt;script&gt;alert(1)" in html
    heads = data_of(html, "results")["columns"]
    assert evil in heads[0]["values"]


def test_every_section_in_the_contents_is_there_and_the_other_way_round(matrix):
    html = page_of(matrix())
    linked = re.findall(r'<li><a href="#(\w+)">', html)
    assert linked == re.findall(r'<h2 id="(\w+)">', html)
    assert "curves" in linked
    assert "numerics" not in linked


def test_the_curves_are_mean_and_range_over_the_seeds(matrix):
    results = frame.read(matrix(recipes=("fp32",), seeds=(0, 1, 2), epochs=20))
    from ampbench.visualize.figures.theme import styles_of

    found = curve_data.curve_data(results, styles_of(results))
    ((recipe, seeds, lines),) = found["panels"][0]["curves"]
    assert (found["recipes"][recipe]["name"], seeds) == ("fp32", 3)
    epochs, mean, low, high = lines["test_accuracy"]
    assert epochs == list(range(1, 21))
    last = 100 * results.epochs[results.epochs["epoch"] == 20]["test_accuracy"]
    assert (mean[-1], low[-1], high[-1]) == pytest.approx((last.mean(), last.min(), last.max()), abs=0.005)


def test_curves_are_thinned_and_bounded_and_keep_both_ends(folder, monkeypatch):
    monkeypatch.setattr(curve_data, "MOST_CURVES", 3)
    for recipe in RECIPE_NAMES[:5]:
        folder.add(cell(recipe, epochs=500))
    results = frame.read(folder.write())
    from ampbench.visualize.figures.theme import styles_of

    found = curve_data.curve_data(results, styles_of(results))
    (panel,) = found["panels"]
    assert (len(panel["curves"]), found["left_out"]) == (3, 2)
    for _, _, lines in panel["curves"]:
        for epochs, *_ in lines.values():
            assert len(epochs) <= curve_data.MOST_POINTS
            assert (epochs[0], epochs[-1]) == (1, 500)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0], ids=str)
def test_numbers_that_are_none_leave_a_page_whose_data_can_be_read(bad, matrix):
    over = dict.fromkeys(("images_per_s", "test_accuracy", "train_loss"), bad)
    html = page_of(matrix(over=over | {"steady_peak_bytes": 0}))
    assert len(data_of(html, "results")["rows"]) == 2
    assert not re.search(r"NaN|Infinity", "".join(re.findall(r'<script type="application/json".*?</script>', html)))


def test_a_folder_in_which_nothing_ran_to_its_end_has_a_page(matrix):
    html = page_of(matrix(ends={"fp32": "crashed", "bf16_amp": "diverged"}))
    assert "crashed" in html


def on_two_machines(folder):
    """Write groups in turn on two machines, the second of two hosts."""
    for seed in range(6):
        other = {"environment_id": "e2", "machine": "Other GPU", "host": f"n{2 + seed % 4}"}
        on = {"host": "n1"} if seed % 2 else other
        for recipe in ("fp32", "bf16_amp"):
            folder.add(cell(recipe, seed=seed, epochs=0), **on)
    return folder.write()


def test_several_machines_are_named_first_and_each_has_its_facts_and_its_hosts(folder):
    html = page_of(on_two_machines(folder))
    first = html.index("2 machines: Other GPU (6 cells) and Test GPU (6 cells). Each is answered by itself")
    assert first < html.index('class="headline"')
    assert "<h3>Other GPU</h3>" in html
    assert "<h3>Test GPU</h3>" in html
    assert "Other GPU / Test GPU" not in html
    data = data_of(html, "results")
    heads = [column["head"] for column in data["columns"]]
    subjects, hosts = (data["columns"][heads.index(name)]["values"] for name in ("subject", "host"))
    found = {(subjects[row[heads.index("subject")]], hosts[row[heads.index("host")]]) for row in data["rows"]}
    assert found == {("VGG19 on Other GPU", "n2, n4"), ("VGG19 on Test GPU", "n1")}


def test_one_host_needs_no_column(matrix):
    data = data_of(page_of(matrix(epochs=0, over={"host": "n1"})), "results")
    assert "host" not in [column["head"] for column in data["columns"]]
