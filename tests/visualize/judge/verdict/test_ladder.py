"""The ladder of evidence: what each rung says for a recipe or against it, and that the highest speaks last."""

from __future__ import annotations

import dataclasses

import pytest

from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.ladder import evidence_of
from ampbench.visualize.judge.verdict.verdict import judge
from ampbench.visualize.read.frame import read
from ampbench.visualize.stats.start import Start
from tests.visualize.conftest import Folder, cell

RATIOS = (1.8, 1.81, 1.79)


def folder_of(folder: Folder, *, flushed: float | None = None, unmoved: float = 0.0, update: str = "nearest"):
    """Write three rounds in which fp16_amp is 1.8 times as fast, with looks at its two layers if asked."""
    folder.rows |= {"layers": []}
    for number, ratio in enumerate(RATIOS):
        folder.add(cell("fp32", epochs=0, round=number), images_per_s=1000.0)
        made = cell("fp16_amp", epochs=0, round=number)
        folder.add(made, images_per_s=1000.0 * ratio, update=update)
        for depth, layer in enumerate(("conv1", "conv2")) if flushed is not None else ():
            place = {"cell_id": made.cell_id, "step": 9, "epoch": 1, "depth": depth, "layer": layer}
            place |= {"tensor": "gradient"}
            values = {"num_entries": 100, "flushed_share": flushed * depth, "unmoved_share": unmoved}
            folder.rows["layers"] += [place | {"quantity": q, "value": v} for q, v in values.items()]
    return read(folder.write())


def told(results, start: Start | None = None):
    """Return the answer and where fp16_amp stands."""
    verdicts = [dataclasses.replace(v, start=start) for v in judge(results.cells)]
    rows = standings(results, verdicts)
    (found,) = answers(results, rows)
    return found, rows[-1]


@pytest.mark.parametrize(
    ("looks", "action", "words"),
    [
        ({}, "train", "evidence: speed (3 runs each); accuracy not measured yet"),
        ({"flushed": 0.0}, "train", "numbers (no layer loses gradients)"),
        ({"flushed": 0.2}, "train", "numbers (conv2 loses 20 % of its gradient to underflow)"),
        ({"flushed": 0.6}, "stay", "but conv2 loses 60 % of its gradient to underflow"),
        ({"flushed": 0.0, "unmoved": 0.7}, "stay", "but rounding leaves 70 % of the weights unchanged in a step"),
        ({"flushed": 0.0, "unmoved": 0.7, "update": "stochastic"}, "train", "numbers (no layer loses gradients)"),
    ],
)
def test_a_layer_that_loses_most_of_its_gradient_speaks_against_a_faster_recipe(folder, looks, action, words):
    found, _ = told(folder_of(folder, **looks))
    assert found.action == action
    assert words in "\n".join([found.headline, *(line.text for line in found.lines)])


def start_of(verdict: str) -> Start:
    """Return a verdict on 400 steps."""
    numbers = {"estimate": 0.0, "low": -0.1, "high": 0.1, "margin": 0.2, "n": 3, "fall": 2.0}
    return Start(verdict=verdict, num_steps=400, from_step=120 if verdict == "harmful" else None, **numbers)


@pytest.mark.parametrize(
    ("verdict", "action"), [("no harm seen", "train"), ("can't tell", "train"), ("harmful", "stay")]
)
def test_a_harmful_start_stops_the_advice_and_an_open_one_does_not(folder, verdict, action):
    found, standing = told(folder_of(folder, flushed=0.0), start_of(verdict))
    assert found.action == action
    assert [step.rung for step in standing.evidence.steps] == [1, 2, 3]
    assert standing.evidence.highest.text == str(start_of(verdict))
    assert (standing.evidence.against is not None) == (action == "stay")
    assert ("harmful from step 120" in found.headline) == (action == "stay")


def test_nothing_was_measured_of_the_reference_against_itself():
    assert evidence_of(None).highest is None


def test_the_few_steps_of_a_short_timing_are_no_rung(folder):
    short = Start(verdict="can't tell", num_steps=4, n=3, because="50 are the least")
    _, row = told(folder_of(folder), short)
    assert [step.rung for step in row.evidence.steps] == [1]
