"""What a search is said to have found: settings that mattered are told, and chance is not."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ampbench.bench.store.search import write_search
from ampbench.schema.search import Line, SearchRecord, Trial
from ampbench.visualize.findings import searched
from ampbench.visualize.judge.answer.search_answer import search_answers
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.plan import Plan
from ampbench.visualize.show import trials

SPACE = (
    Line(field="learning_rate", low=0.01, high=0.3, log=True),
    Line(field="batch_size", choices=(64, 128, 256)),
    Line(field="optimizer", choices=("sgd", "adam")),
)
Make = Callable[..., Results]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that makes the results of a search from a function of its settings."""

    def make(result: Callable[[dict[str, Any]], float | None], *, num: int = 20, seed: int = 0, reruns: int = 0):
        rng, found, cells = random.Random(seed), [], []
        for number in range(num):
            values = {
                "learning_rate": 0.01 * 30 ** rng.random(),
                "batch_size": rng.choice([64, 128, 256]),
                "optimizer": rng.choice(["sgd", "adam"]),
            }
            again = tuple(f"r{number}.{i}" for i in range(reruns)) if number < 3 else ()
            found.append(Trial(study="", number=number, values=values, cell_id=f"t{number}", reruns=again))
            cells += [(cell, result(values)) for cell in (f"t{number}", *again)]
        record = SearchRecord(
            objective="test_accuracy", greater_is_better=True, num_trials=num, space=SPACE, trials=tuple(found)
        )
        write_search(tmp_path, record)
        frame = pd.DataFrame(
            [
                {
                    "cell_id": cell,
                    "status": "ok" if value is not None else "pruned",
                    "because": None if value is not None else "fell behind",
                    "test_accuracy": value,
                    "machine": "M",
                    "model": "Net",
                    "recipe": "fp32",
                }
                for cell, value in cells
            ]
        )
        return Results(
            folder=tmp_path, plan=Plan(), cells=frame, whole=frame, labels={}, settings=(),
            known_ids=frozenset(frame["cell_id"]), load=lambda name: pd.DataFrame(),
        )  # fmt: skip

    return make


def test_what_truly_mattered_is_told_also_where_the_best_value_lies_in_the_middle(make: Make) -> None:
    rng = random.Random(0)
    results = make(lambda v: 0.9 - 5 * abs(v["learning_rate"] - 0.06) + rng.gauss(0, 0.01))
    first, *others = searched.importance(results, "")
    assert (first.field, first.is_told) == ("learning_rate", True)
    assert not any(one.is_told for one in others)


def test_of_results_that_are_chance_alone_few_settings_are_told_to_matter(make: Make) -> None:
    rng, told = random.Random(0), 0
    for seed in range(60):
        results = make(lambda v: rng.random(), seed=seed)
        told += any(one.is_told for one in searched.importance(results, ""))
    assert told <= 8  # 3 are expected; 9 or more would be seen in 1 of 100 such tests


def test_of_few_trials_nothing_is_said(make: Make) -> None:
    assert searched.importance(make(lambda v: v["learning_rate"], num=5), "") == []


def test_pruned_trials_count_as_worst(make: Make) -> None:
    results = make(lambda v: v["learning_rate"] if v["optimizer"] == "sgd" else None, num=30)
    found = {one.field: one for one in searched.importance(results, "")}
    assert found["optimizer"].is_told


def test_the_answer_is_the_mean_of_reruns_with_its_interval_and_the_luckiest_trial_beside_it(make: Make) -> None:
    rng = random.Random(2)
    results = make(lambda v: 0.9 + rng.gauss(0, 0.01), reruns=3)
    [answer] = search_answers(results, searched.found(results), {})
    assert answer.headline.startswith("Net on M: train with learning_rate = ")
    texts = {line.topic: line.text for line in answer.lines}
    assert "mean of 3 reruns with other seeds" in texts["gain"]
    assert "±" in texts["gain"]
    assert any("the luckiest trial, " in line.text and "in its only run" in line.text for line in answer.lines)


def test_a_trial_without_reruns_is_called_luck(make: Make) -> None:
    results = make(lambda v: v["learning_rate"])
    [answer] = search_answers(results, searched.found(results), {})
    assert "partly luck" in answer.lines[0].text


def test_a_search_without_a_result_says_so(make: Make) -> None:
    results = make(lambda v: None)
    [answer] = search_answers(results, searched.found(results), {})
    assert (answer.action, answer.headline) == ("none", "Net: no trial ended with a test_accuracy.")
    assert "20 pruned" in answer.lines[0].text


def test_the_table_has_a_row_for_every_trial_the_best_first(make: Make) -> None:
    results = make(lambda v: v["learning_rate"], reruns=2)
    [(_, heads, lines)] = trials.tables(results)
    assert heads[:4] == ["trial", "learning_rate", "batch_size", "optimizer"]
    assert len(lines) == 20
    assert {line["trial"] for line in lines[:3]} == {"0", "1", "2"}
    assert len(trials.frame(results)) == 20


def test_a_folder_whose_cells_a_person_listed_is_no_search(make: Make) -> None:
    results = make(lambda v: v["learning_rate"])
    assert results.search is not None
    import dataclasses

    other = dataclasses.replace(results, known_ids=results.known_ids | {"another"})
    assert other.search is None
    assert trials.answers(other) == []
