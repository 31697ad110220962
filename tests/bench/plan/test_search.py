"""`[search]`: what is searched is a field that a cell can have, and what cannot be is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import Experiment, parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.search import Choices, Range, cell_of, studies_of
from ampbench.path import ROOT

HEAD = 'question = "Q?"\n[fixed]\nmodel = "SmallCifarNet"\ndata = "cifar10"\nepochs = 10\nprecision = "fp32"\n'
SPACE = "[search.space]\nbatch_size = [64, 128]\n"


def read(text: str) -> Experiment:
    return parse_experiment(Path("made.toml"), text)


def test_a_trial_is_fixed_and_its_values_and_a_rerun_differs_in_its_seed_alone() -> None:
    experiment = read(HEAD + "seed = 5\nmodel_args = {}\n" + SPACE + '"model_args.dropout" = {low = 0.3, high = 0.7}\n')
    (study,) = studies_of(experiment)
    values = {"batch_size": 64, "model_args.dropout": 0.5}
    trial = cell_of(experiment, study, values)
    rerun = cell_of(experiment, study, values, rerun=2)
    assert (trial.batch_size, trial.model_args, trial.seed) == (64, '{"dropout": 0.5}', 5)
    assert {k for k in trial.settings if trial.settings[k] != rerun.settings[k]} == {"seed"}
    assert rerun.seed == 7


def test_an_argument_of_the_network_joins_those_that_are_fixed() -> None:
    text = HEAD.replace('"SmallCifarNet"', '"PowerCifarNet"') + "model_args = {width = 0.5}\n"
    experiment = read(text + SPACE + '"model_args.dropout" = [0.3, 0.5]\n')
    cell = cell_of(experiment, studies_of(experiment)[0], {"batch_size": 64, "model_args.dropout": 0.3})
    assert cell.model_args == '{"dropout": 0.3, "width": 0.5}'


def test_an_argument_needs_no_quotes() -> None:
    quoted, bare = (
        SPACE + f"{key} = {{low = 0.3, high = 0.7}}\n" for key in ('"model_args.dropout"', "model_args.dropout")
    )
    assert read(HEAD + quoted).search == read(HEAD + bare).search


def test_each_point_of_the_matrix_is_a_study() -> None:
    text = HEAD.replace('precision = "fp32"\n', "") + '[matrix]\nprecision = ["fp32", "bf16_amp"]\n'
    assert [study.name for study in studies_of(read(text + SPACE))] == ["precision=fp32", "precision=bf16_amp"]


def test_a_proposed_number_has_four_digits_and_stays_in_its_range() -> None:
    line = Range(field="learning_rate", low=0.012344, high=0.3)
    assert line.rounded(0.123456789) == 0.1235
    assert line.rounded(0.0123441) == 0.012344
    assert Range(field="epochs", low=1, high=9, whole=True).rounded(3.0) == 3
    assert line.holds(0.2)
    assert not line.holds(0.31)
    assert not line.holds(True)


def test_a_recipe_and_a_list_are_choices() -> None:
    text = HEAD.replace('precision = "fp32"\n', "") + '[search.space]\nprecision = ["fp32", "bf16_amp"]\n'
    experiment = read(text + 'batch_size = [64, 128]\naugment = [["crop"], ["crop", "flip"]]\n')
    assert experiment.search is not None
    augment = experiment.search.space[2]
    assert isinstance(augment, Choices)
    assert list(augment.values) == ['["crop"]', '["crop", "flip"]']
    values = {"precision": "bf16_amp", "batch_size": 64, "augment": '["crop"]'}
    cell = cell_of(experiment, studies_of(experiment)[0], values)
    assert (cell.precision.name, cell.augment) == ("bf16_amp", ("crop",))


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("[search]\ntrials = 3\n", r"\[search.space\]: is missing"),
        ("[search]\ntrails = 3\n" + SPACE, r"\[search\] trails: unknown key. Did you mean 'trials'"),
        ("[search]\ntrials = 0\n" + SPACE, r"\[search\] trials: 0"),
        ("[search]\nobjective = 'accuracy'\n" + SPACE, "Did you mean 'test_accuracy'"),
        ("[search]\nobjective = 'time_to_accuracy_s'\n" + SPACE, "set \\[measure\\] target_accuracy"),
        ("[search]\nobjective = 'images_per_s'\npruner = 'median'\n" + SPACE, "known at the end only"),
        ("[search.space]\nbatch_sizes = [1, 2]\n", "Did you mean 'batch_size'"),
        (SPACE + "learning_rate = {low = 0.1, high = 0.01}\n", "is not below"),
        (SPACE + "learning_rate = {low = 0.1, top = 0.2}\n", "'top' is no word of a range"),
        (
            SPACE + "learning_rate = {low = 0.0, high = 0.2}\n",
            "learning_rate: 0.0 is float; it should be greater than 0",
        ),
        (SPACE + "weight_decay = {low = 0.0, high = 0.2, log = true}\n", "has no logarithm"),
        (SPACE + "weight_decay = {low = 0.0, high = 0.2, step = 1.0}\n", "step = 1.0 should be a number"),
        (SPACE + "optimizer = {low = 1, high = 2}\n", "is not known here"),
        (SPACE + "channels_last = {low = false, high = true}\n", "'low' should be a number"),
        (SPACE + "optimizer = [2020-01-01, 'sgd']\n", "is not known here"),
        (SPACE + '"model_args.dropout" = {low = 1, high = 1' + "0" * 400 + "}\n", "is no range of numbers up to"),
        (
            "[search]\ntrials = 10000\n[matrix]\ngrad_clip = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0]\n"
            + SPACE,
            "cells",
        ),
        (SPACE + "weight_decay = [1e-4]\n", "fewer than 2 values"),
        (SPACE + "weight_decay = [1e-4, 1e-4]\n", "holds a value twice"),
        (SPACE + "weight_decay = 1e-4\n", r"is one value; put it into \[fixed\]"),
        (SPACE + "seed = [0, 1]\n", "the luckiest would win"),
        (SPACE + "epochs = [5, 10]\n", r"stands in \[fixed\] too"),
        (SPACE + '"model_args.width" = [1.0, 2.0]\n', "takes no 'width'"),
        (SPACE + '"model_args.dropout" = {low = 0.3, high = 1.7}\n', "should be a share"),
        (SPACE + "loss_scale = ['none', 'dynamic']\n", "loss scaling has nothing to scale in fp32"),
        ("[matrix]\nseed = [0, 1]\n" + SPACE, "a trial has one seed"),
        ("[measure]\nrounds = 3\n" + SPACE, "drop rounds"),
        ("[[include]]\nbatch_size = 32\n" + SPACE, "belong to a matrix"),
        ("[search.space]\nbatch_size = [64, 'knee']\n", "a search takes numbers"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_one_line(added: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as e:
        read(HEAD + added)
    assert "\n" not in str(e.value)


def test_a_timing_has_no_accuracy_to_search_for() -> None:
    with pytest.raises(RequestError, match="test_accuracy needs a training"):
        read(HEAD.replace("epochs = 10\n", "") + SPACE)
    assert read(HEAD.replace("epochs = 10\n", "") + '[search]\nobjective = "images_per_s"\n' + SPACE).search


def test_a_search_is_no_list_of_cells() -> None:
    with pytest.raises(RequestError, match=r"run it with bench/run_matrix\.py"):
        make_plan(read(HEAD + SPACE))


def test_the_file_of_study_s4_has_its_space_and_its_20_trials_of_10_epochs() -> None:
    path = ROOT / "experiments" / "search_power.toml"
    experiment = parse_experiment(path, path.read_text())
    search = experiment.search
    assert search is not None
    assert (search.settings.trials, experiment.fixed["epochs"]) == (20, 10)
    ends = {p.field: (p.low, p.high, p.log) for p in search.space if isinstance(p, Range)}
    assert ends == {
        "learning_rate": (0.01, 0.3, True),
        "weight_decay": (1e-5, 1e-3, True),
        "model_args.dropout": (0.3, 0.7, False),
    }
    assert [list(p.values) for p in search.space if isinstance(p, Choices)] == [[64, 128, 256, 512]]
