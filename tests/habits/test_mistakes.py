"""What a person is told of a mistake in a model: where it is, and what to write instead."""

from __future__ import annotations

import re

import pytest
from torch import nn

from tests.habits import mistakes
from tests.habits.ending import Net, end, end_once


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (mistakes.KeepsItsGraph, r"second time .*: compute it anew in every forward, or keep x\.detach\(\)$"),
        (mistakes.Overwrites, r"by an inplace operation.*: write its result to a new tensor$"),
        (mistakes.HalfLayer, r"Half and Float \(mistakes\.py:\d+\); all weights and .*x\.to\(layer\.weight\.dtype\)$"),
        (
            mistakes.WantsMapping,
            r"^IndexError: .* \(mistakes\.py:\d+\); the model is called with the images alone, a ten",
        ),
        (mistakes.WantsObject, r"has no attribute 'image' \(mistakes\.py:\d+\); the model is called with the images"),
        (mistakes.Asserts, r"^AssertionError: no message, in assert x_NCHW\.size\(3\) == 28 \(mistakes\.py:\d+\)$"),
        (
            mistakes.Announces,
            r"Error\(s\) in loading state_dict for Announces: Missing key\(s\) in state_dict: \"conv\.b",
        ),
        ("tests.habits.mistakes:network", r"^ValueError: '.*:network' is a network; name its class, or a fun.* it$"),
        (mistakes.Refuses, r"^ValueError: expected 28x28 images \(mistakes\.py:\d+\)$"),
        (mistakes.RefusesInEvaluation, r"RefusesInEvaluation in evaluation: at most 100 images \(mistakes\.py:\d+\)$"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")
def test_it_ends_in_a_line_with_the_place_and_the_move(model: type[nn.Module] | str, said: str) -> None:
    row = end(model)
    assert row["status"] == "failed"
    assert re.search(said, row["because"]), row["because"]


def test_weights_that_a_model_hides_are_named() -> None:
    row = end(mistakes.HidesLayers)
    assert row["status"] == "ok"
    assert re.search(r"HidesLayers uses weights that .* shape 10 \(2 times\), 10x10 \(3 times\): .*", row["model_note"])
    assert end_once(Net)["model_note"] is None
    row = end(mistakes.HidesLayers, "bf16")
    assert row["status"] == "unsupported"
    assert "(a layer in a plain list is none of the model's: nn.ModuleList)" in row["because"]
