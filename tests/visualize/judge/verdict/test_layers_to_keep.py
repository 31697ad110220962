"""The few layers that are a recipe's trouble, and the recipe that keeps just these in fp32."""

from __future__ import annotations

import json
import tomllib

import pytest
import typer
from typer.testing import CliRunner

from ampbench.bench.plan.experiment import parse_experiment
from ampbench.visualize import layers_to_keep as command
from ampbench.visualize.judge.verdict.layers_to_keep import keeping_of, layers_to_keep
from ampbench.visualize.read.frame import read
from tests.visualize.conftest import Folder, cell

LAYERS = [f"blocks.{i}" for i in range(9)] + ["head"]


def folder_of(folder: Folder, recipe: str, looks: dict[str, dict[str, float]], **columns: object) -> Folder:
    """Write a cell of fp32 and one of a recipe, with samples of ten layers; `looks` has quantity -> layer -> share."""
    folder.rows |= {"layers": []}
    folder.add(cell("fp32", epochs=0), weights_dtype="fp32", compute_dtype="fp32", update="nearest")
    made = cell(recipe, epochs=0)
    own = {"weights_dtype": made.precision.weights, "compute_dtype": made.precision.compute, "update": "nearest"}
    folder.add(made, **(own | columns))
    for depth, layer in enumerate(LAYERS):
        place = {"cell_id": made.cell_id, "step": 9, "epoch": 1, "depth": depth, "layer": layer}
        values = {"num_entries": 100.0, "flushed_share": 0.0, "unmoved_share": 0.0}
        values |= {quantity: shares[layer] for quantity, shares in looks.items() if layer in shares}
        folder.rows["layers"] += [
            place | {"tensor": "activation" if q == "near_overflow_share" else "gradient", "quantity": q, "value": v}
            for q, v in values.items()
        ]
    return folder


@pytest.mark.parametrize(
    ("recipe", "looks", "layers", "words", "settings"),
    [
        (
            "fp16_amp", {"flushed_share": {"head": 0.4, "blocks.1": 0.1}}, ["blocks.1", "head"],
            "head (40 % of its gradient flushed to zero)", {"compute": "fp16"},
        ),
        (
            "fp16_amp", {"near_overflow_share": {"blocks.3": 1e-3}}, ["blocks.3"],
            "blocks.3 (under 1 % of its outputs near overflow)", {"compute": "fp16"},
        ),
        (
            "bf16", {"unmoved_share": {"head": 0.9}}, ["head"],
            "head (90 % of its weights not moved by a step)", {"weights": "bf16", "compute": "bf16"},
        ),
    ],
)  # fmt: skip
def test_few_layers_in_trouble_are_a_recipe_that_keeps_just_these(folder, recipe, looks, layers, words, settings):
    found = keeping_of(read(folder_of(folder, recipe, looks).write()), recipe)
    assert [one.layer for one in found.layers] == layers
    assert words in [str(one) for one in found.layers]
    assert found.settings == settings | {"keep_fp32": layers}
    assert found.entries_share == pytest.approx(len(layers) / 10)
    assert found.num_layers == 10
    assert tomllib.loads(found.table)["precision"][f"{recipe}_kept"] == dict(found.settings)


@pytest.mark.parametrize(
    ("recipe", "looks", "columns"),
    [
        ("fp16_amp", {}, {}),
        ("fp16_amp", {"flushed_share": {"head": 0.04}}, {}),
        ("fp16_amp", {"flushed_share": dict.fromkeys(LAYERS[:5], 0.5)}, {}),
        ("bf16_amp", {"unmoved_share": {"head": 0.9}}, {}),  # fp32 weights move as they would in fp32
        ("bf16", {"unmoved_share": {"head": 0.9}}, {"update": "stochastic"}),
        ("fp16", {"near_overflow_share": {"head": 0.9}}, {}),  # what goes out of the layer is fp16 again
    ],
)
def test_nothing_is_kept_where_nothing_is_lost_or_where_other_means_help(folder, recipe, looks, columns):
    assert layers_to_keep(read(folder_of(folder, recipe, looks, **columns).write())) == []


def test_the_layer_that_diverged_first_is_kept_unless_the_reference_diverged_too(folder):
    broken = {"status": "diverged", "diverged_layer": "blocks.2", "diverged_in": "forward"}
    results = read(folder_of(folder, "fp16_amp", {}, **broken).write())
    found = keeping_of(results, "fp16_amp")
    assert [str(one) for one in found.layers] == ["blocks.2 (the first to be non-finite)"]
    folder.add(cell("fp32", epochs=0, seed=1), status="diverged")
    assert layers_to_keep(read(folder.write())) == []


def test_the_recipe_is_one_that_an_experiment_file_takes_and_the_command_writes_it(folder):
    looks = {"flushed_share": {"head": 0.4}}
    path = folder_of(folder, "fp16_amp", looks).write()
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command.main)
    (found,) = json.loads(CliRunner().invoke(app, [str(path), "--format", "json"]).stdout)
    assert found["settings"] == {"compute": "fp16", "keep_fp32": ["head"]}
    told = CliRunner().invoke(app, [str(path)]).stdout
    assert "fp16_amp has its trouble in 1 of 10 layers" in told
    text = f'question = "?"\n[fixed]\nmodel = "LeNet"\ndata = "digits"\nbatch_size = 8\nprecision = "{found["name"]}"\n'
    experiment = parse_experiment(path / "x.toml", text + told)
    assert experiment.fixed["precision"].keep_fp32 == ("head",)
    wrong = CliRunner().invoke(app, [str(path / "none")])
    assert (wrong.exit_code, len(wrong.stderr.strip().splitlines())) == (2, 1)
