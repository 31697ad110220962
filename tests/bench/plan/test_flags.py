"""Every field is a flag of run_one.py, and what is wrong with it is said in the words that were typed."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench import run_one
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.flags import TABLES, file_of, flags, in_words_typed
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol

ONE = Path(run_one.__file__)


def planned(**typed: Any) -> tuple[Cell, MeasurementProtocol, Budget]:
    given = run_one.STUDY_S3 | typed
    experiment = parse_experiment(ONE, file_of("?", given, given.pop("precision", "fp32")))
    (cell,) = make_plan(experiment).cells
    return cell, experiment.protocol, experiment.budget


def refused(**typed: Any) -> str:
    with pytest.raises(RequestError) as caught:
        planned(**typed)
    return in_words_typed(str(caught.value))


def test_every_field_of_a_cell_its_measurement_and_its_budget_is_a_flag() -> None:
    fields = {f.name for kind in TABLES.values() for f in dataclasses.fields(kind)} - {"round", "precision"}
    assert fields == set(flags())
    taken = inspect.signature(run_one.main).parameters
    assert fields <= set(taken)
    words = [word for flag in flags().values() for word in flag.words]
    assert len(words) == len(set(words))
    assert all(flag.help for flag in flags().values()), "from the docstring below the field"


def test_flags_left_out_are_the_defaults_of_the_fields_and_those_of_study_s3() -> None:
    cell, measure, budget = planned()
    assert (measure, budget) == (MeasurementProtocol(), Budget())
    study = Cell(model="VGG19", data="cifar10", precision=cell.precision, batch_size=256, epochs=200)
    assert cell == study


def test_every_default_typed_out_is_that_default() -> None:
    """So that a value of every kind comes through: words, numbers, lists, switches."""
    typed = {}
    for name, flag in flags().items():
        if flag.default not in (None, dataclasses.MISSING):
            plain = isinstance(flag.default, bool)
            listed = isinstance(flag.default, tuple)
            typed[name] = flag.default if plain else ",".join(map(str, flag.default)) if listed else str(flag.default)
    cell, measure, budget = planned(**typed | run_one.STUDY_S3)
    assert (cell, measure, budget) == planned()


def test_values_of_every_kind_arrive() -> None:
    cell, measure, budget = planned(
        model="PowerCifarNet",
        model_args="width=.75,dropout=0.1",
        augment="flip,rotation:15,jitter:hue=.1,contrast=.2,cutout:16",
        milestones="3,4",
        drop_last=False,
        grad_clip="1",
        loss_scale="none",
        gpus="1",
        keep_best=True,
        passes="phases,memory",
        evaluate_every="2",
        minutes_per_cell=".5",
    )
    assert cell.model_args == '{"dropout": 0.1, "width": 0.75}'
    assert [text.partition(":")[0] for text in cell.augment] == ["flip", "rotation", "jitter", "cutout"]
    assert (cell.milestones, cell.drop_last, cell.grad_clip, cell.loss_scale) == ((3, 4), False, 1.0, "none")
    assert (measure.keep_best, measure.passes, measure.evaluate_every) == (True, ("phases", "memory"), 2)
    assert budget.minutes_per_cell == 0.5
    assert planned(augment="none")[0].augment == ()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"batch_size": "none"}, "--batch-size: 'none' is no batch size; write a number"),
        ({"model": "VGG18"}, "--model: 'VGG18' is no model. Did you mean 'VGG19'?"),
        ({"schedule": "cos"}, "--schedule: 'cos' is not known here. Did you mean 'cosine'?"),
        ({"learning_rate": "0"}, "--learning-rate: 0 is int; it should be greater than 0"),
        (
            {"gpus": "2", "drop_last": False},
            "--gpus-per-cell 2: GPUs need equal shares of every batch; drop --no-drop-",
        ),
        ({"precision": "fp32x"}, "--precision: 'fp32x' is no recipe. Did you mean 'fp32'?"),
        ({"precision": "fp32", "loss_scale": "static:8"}, "--precision fp32, --scale 'static:8': loss scaling has"),
        ({"evaluate_every": "0"}, "--evaluate-every: 0 is int"),
        ({"model_args": "width=2"}, "--model-args: 'VGG19' takes no arguments; drop --model-args"),
        (
            {"model": "PowerCifarNet", "model_args": "width=2,width=1"},
            "--model-args: 'width=2,width=1' says width twice",
        ),
        ({"minutes_per_cell": "soon"}, "--minutes-per-cell: 'soon' is str"),
        ({"data": "folder:/nowhere"}, "--data: no folder '/nowhere'; mend the path"),
    ],
)
def test_what_is_wrong_with_a_flag_is_said_in_its_own_words(typed: dict[str, Any], said: str) -> None:
    message = refused(**typed)
    assert message.startswith(said)
    assert "\n" not in message
    assert "[fixed]" not in message


def test_a_recipe_is_named_once() -> None:
    own = {"precision": "bf16", "dtype": "fp32", "amp": False, "loss_scale_s3": False, "tf32": False}
    assert run_one.named(own) == "bf16"
    assert run_one.named(own | {"precision": None}) == "fp32"
    with pytest.raises(RequestError, match="--precision bf16 and --amp: both name a recipe"):
        run_one.named(own | {"amp": True})


def test_the_text_of_a_run_is_an_experiment_file_that_makes_the_same_cell(tmp_path: Path) -> None:
    text = file_of("Why?", run_one.STUDY_S3 | {"weight_decay": "1e-4", "keep_best": True}, "bf16_amp")
    (tmp_path / "mine.toml").write_text(text)
    plan = make_plan(parse_experiment(tmp_path / "mine.toml", text))
    assert plan.cells[0] == planned(precision="bf16_amp", weight_decay="0.0001")[0]
    assert plan.experiment.protocol.keep_best
