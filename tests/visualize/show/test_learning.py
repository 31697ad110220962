"""What was learned and how long it took, as tables."""

from __future__ import annotations

import dataclasses

from ampbench.visualize import report
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict import verdict
from ampbench.visualize.read import frame
from ampbench.visualize.show import learning, table
from ampbench.visualize.show.summary import frame_of
from tests.visualize.conftest import cell, record


def words(folder):
    """The two tables as a terminal of 80 columns shows them."""
    rows = learning.rows_of(frame.read(folder))
    return "".join(table.grid(*one, 80) for one in learning.tables(rows))


def test_what_is_measured_is_shown(folder):
    folder.add(cell("fp32"), test_accuracy=0.9404, **record())
    said = words(folder.write())
    for number in (
        "94.04", "94.10", "17", "99.50", "0.0123", "0.3456", "94.03", "94.02", "3,600.0", "60.0", "3,700.0", "1,800.0",
        "20,040,522 parameters",
    ):  # fmt: skip
        assert number in said, number
    assert max(map(len, said.splitlines())) <= 80


def test_a_sweep_over_batch_sizes_with_two_rates_is_one_table(folder):
    for batch, rate, loss in ((1, 1e-4, 0.332), (4, 1e-4, 0.325), (4, 1e-2, None), (16, 1e-2, 0.2), (32, 1e-2, 0.234)):
        if loss is None:
            folder.add(cell("fp32", batch, learning_rate=rate), "diverged")
        else:
            folder.add(cell("fp32", batch, learning_rate=rate), **record(train_loss=loss))
    results = frame.read(folder.write())
    assert len(results.subjects) == 2
    rows = learning.rows_of(results)
    (title, heads, lines), _ = learning.tables(rows)
    assert title == "What was learned: VGG19, 20,040,522 parameters"
    assert heads[:4] == ["batch", "rate", "precision", "final %"]
    found = [(line["batch"], line["rate"], line["final loss"]) for line in lines]
    assert found == [
        ("1", "0.0001", "0.3320"), ("4", "0.0001", "0.3250"), ("4", "0.01", "nan"), ("16", "0.01", "0.2000"),
        ("32", "0.01", "0.2340"),
    ]  # fmt: skip
    assert lines[2]["final %"] == "10.00*"
    assert learning.legend(rows).endswith("*: diverged, the accuracy of guessing.")


def test_what_diverged_has_the_accuracy_of_guessing_marked_in_the_summary_too(folder):
    folder.add(cell("fp32"), **record())
    folder.add(cell("fp16"), "diverged")
    results = frame.read(folder.write())
    verdicts = verdict.judge(results.cells)
    rows = standings(results, verdicts)
    assert "10.00*" in table.text(rows)
    assert "*: diverged, the accuracy of guessing" in table.legend(results, verdicts)
    accuracies = frame_of(rows).set_index("recipe")["test_accuracy"]
    assert accuracies.isna()["fp16"], "no comparison takes it for a measurement"


def test_a_recipe_that_diverged_in_some_seeds_shows_the_mean_of_the_others(folder):
    folder.add(cell("fp16", seed=0), **record(macro_f1=0.9))
    folder.add(cell("fp16", seed=1), "diverged")
    said = words(folder.write())
    assert "90.00" in said
    assert "1/2" in said
    assert "*" not in said


def test_a_record_of_an_older_version_shows_what_it_has(folder):
    folder.add(cell("fp32"))
    said = words(folder.write())
    assert "1.0000" in said  # the training loss of its last epoch
    assert "F1" not in said
    assert "nan" not in said


def test_a_timing_has_no_such_tables(folder):
    folder.add(cell("fp32", epochs=0))
    assert learning.tables(learning.rows_of(frame.read(folder.write()))) == []


def test_columns_that_do_not_fit_go_into_a_table_below(folder):
    for batch in (64, 128):
        folder.add(cell("fp16_amp_scaled", batch), **record())
    rows = learning.rows_of(frame.read(folder.write()))
    title, heads, lines = learning.tables(rows)[0]
    said = table.grid(title, heads, lines, 60)
    assert max(map(len, said.splitlines())) <= 60
    assert said.count("fp16_amp_scaled") >= 4  # two rows a table
    assert ", continued" in said
    assert "94.02" in said


def test_summary_and_page_say_both(folder, monkeypatch):
    monkeypatch.setattr(report, "draw", lambda *_: [])
    folder.add(cell("fp32", epochs=4), **record(test_accuracy=0.331))
    for row, percent in zip(folder.rows["epochs"], (45.2, 38.9, 51.3, 33.1), strict=True):
        row["test_accuracy"] = percent / 100
    path = folder.write()
    page = report.write_report(path).read_text()
    summary = (path / "summary.txt").read_text()
    for text in (summary, page):
        assert "What was learned: VGG19, batch 128, 20,040,522 parameters" in text
        assert "How long it took" in text
        assert "swings: 45.2 38.9" in " ".join(text.split())
    assert "0.3456" in summary
    assert "3,600.0" in page
    assert max(map(len, summary.splitlines()[:-1])) <= 100


def test_records_without_a_learning_rate_are_shown(folder):
    folder.add(cell("fp32"), test_accuracy=0.9404, **record())
    results = frame.read(folder.write())
    older = dataclasses.replace(results, cells=results.cells.drop(columns="learning_rate"))
    (row,) = learning.rows_of(older).to_dict("records")
    assert (row["recipe"], row["test_accuracy"]) == ("fp32", 0.9404)
