"""The dtype check sees recurrent layers and attention, however they run."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from torch import nn

from tests.habits import recurrent
from tests.habits.ending import end, end_once
from tests.support.thinned import thinned

PROPER = [recurrent.Recurrent, recurrent.GRU, recurrent.Cells, recurrent.Attention, recurrent.InThreadUnderAutocast]


def end_here(model: type[nn.Module], recipe: str) -> dict[str, Any]:
    """Return the row of a training; some CPUs with bf16 have no such LSTM of oneDNN, and it says so."""
    row = end(model, recipe)
    if row["status"] == "unsupported" and "primitive descriptor for the LSTM" in row["because"]:
        pytest.skip(row["because"])
    return row


def last(proof: str) -> str:
    return proof.split(" ")[-1]


@pytest.mark.parametrize(
    ("model", "recipe"), thinned(product(PROPER, ["fp32", "bf16_amp", "bf16", "fp16_amp"]), kept=7)
)
def test_layers_that_run_in_the_recipe_s_dtype_are_said_to(model: type[nn.Module], recipe: str) -> None:
    row = end_here(model, recipe)
    assert (row["status"], row["because"]) == ("ok", None)
    dtype = {"fp32": "float32", "fp16_amp": "float16"}.get(recipe, "bfloat16")
    assert last(row["dtype_check"]) == (
        f"layers:{dtype}x2" if model is recurrent.Attention else f"recurrent:{dtype}x1(rnn)"
    )
    assert row["test_accuracy"] > 0.3


@pytest.mark.parametrize("model", [recurrent.Island, recurrent.GRUIsland])
def test_a_recurrent_layer_in_fp32_on_purpose_is_allowed_and_listed(model: type[nn.Module]) -> None:
    row = end_once(model, "bf16_amp")
    assert (row["status"], row["because"]) == ("ok", None)
    assert "recurrent:float32x1(rnn)" in row["dtype_check"]
    assert "layers:bfloat16x1" in row["dtype_check"]


def test_the_operator_of_a_whole_recurrent_layer_counts_as_a_product() -> None:
    assert "mkldnn_rnn_layer:float32x1" in end_once(recurrent.Island, "bf16_amp")["dtype_check"]
    assert "mkldnn_rnn_layer:bfloat16x1" in end_here(recurrent.Recurrent, "bf16_amp")["dtype_check"]


@pytest.mark.parametrize("model", [recurrent.InThread, recurrent.GRUInThread, recurrent.AttentionInThread])
def test_a_layer_that_a_thread_took_out_of_autocast_is_a_contradiction(model: type[nn.Module]) -> None:
    row = end(model, "bf16_amp")
    assert row["status"] == "failed"
    assert "dtype check: rnn ran in float32 and not in the recipe's bfloat16, in a thread" in row["because"]
    assert end(model)["status"] == "ok"
