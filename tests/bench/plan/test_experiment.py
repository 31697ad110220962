"""Experiment files: what they mean, and what is said of wrong ones."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.schema.toml_values import text_of_tables
from tests.conftest import ROOT
from tests.support.experiments import FIXED, GOOD, HEAD
from tests.support.thinned import thinned

Write = Callable[..., Path]


# What the file says -> what the one line must say of it: place, then value or reason, then the next move.
WRONG: dict[str, tuple[str, str]] = {
    "unknown key at the top": (
        GOOD + "[mesure]\nrounds = 2",
        r"top level, 'mesure': unknown key\. Did you mean 'measure'",
    ),
    "unknown key in fixed": (
        GOOD + 'optimiser = "sgd"',
        r"\[fixed\] optimiser: unknown key\. Did you mean 'optimizer'",
    ),
    "unknown axis": (GOOD + "[matrix]\nsedd = [0]", r"\[matrix\] sedd: unknown key\. Did you mean 'seed'"),
    "unknown key in measure": (
        GOOD + "[measure]\nround = 2",
        r"\[measure\] round: unknown key\. Did you mean 'rounds'",
    ),
    "unknown key in budget": (
        GOOD + "[budget]\nhours = 2",
        r"\[budget\] hours: unknown key\. Did you mean 'gpu_hours'",
    ),
    "unknown key in a recipe": (
        GOOD + '[precision.mine]\nweight = "fp16"',
        r"\[precision\.mine\] weight: unknown key\. Did you mean 'weights'",
    ),
    "unknown key in exclude": (
        GOOD + '[[exclude]]\nmodell = "LeNet"\nbecause = "x"',
        r"\[\[exclude\]\] 1 modell: unknown key\. Did you mean 'model'",
    ),
    "unknown key in include": (
        GOOD + "[[include]]\nsede = 3",
        r"\[\[include\]\] 1 sede: unknown key\. Did you mean 'seed'",
    ),
    "no question": (FIXED + 'precision = "fp32"', r"'question': missing; say in a sentence"),
    "wrong type": (GOOD + 'seed = "0"', r"\[fixed\] seed: '0' is str; it should be a valid integer"),
    "a boolean for a number": (GOOD + "seed = true", r"\[fixed\] seed: True is bool"),
    "negative": (GOOD + "epochs = -1", r"\[fixed\] epochs: -1 .*greater than or equal to 0"),
    "zero batch": (HEAD + FIXED.replace("32", "0") + 'precision = "fp32"', r"\[fixed\] batch_size: 0 .*equal to 1"),
    "zero learning rate": (GOOD + "learning_rate = 0.0", r"\[fixed\] learning_rate: 0\.0 .*greater than 0"),
    "empty axis": (GOOD + "[matrix]\nseed = []", r"\[matrix\] seed: is empty.*give it a value or drop the line"),
    "axis that is no list": (GOOD + "[matrix]\nseed = 3", r"\[matrix\] seed: 3 is no list; write \[3\]"),
    "value twice": (GOOD + "[matrix]\nseed = [0, 1, 0]", r"\[matrix\] seed: 0 stands there twice"),
    "axis and fixed": (GOOD + "[matrix]\nbatch_size = [1]", r"\[matrix\] batch_size: .*stands in \[fixed\] too"),
    "two axes set one field": (
        GOOD + "[matrix]\nseed = [0]\nboth = [{seed = 1}]",
        r"\[matrix\] both: axis 'seed' sets 'seed' too",
    ),
    "uneven tables": (
        GOOD + "[matrix]\nboth = [{seed = 1}, {epochs = 1}]",
        r"\[matrix\] both: every point sets the same fields",
    ),
    "duplicate after resolving": (
        HEAD
        + FIXED
        + '[matrix]\np = [{precision = "fp16_amp"}, {precision = "fp16_amp", loss_scale = "none"}]'.replace(
            '{precision = "fp16_amp"}', '{precision = "fp16_amp", loss_scale = "none"}', 1
        ),
        r"\[matrix\] p: .*twice",
    ),
    "missing field": (
        HEAD + '[fixed]\nmodel = "LeNet"\ndata = "digits"\nbatch_size = 1',
        r"'precision' is missing; set it",
    ),
    "exclude without reason": (GOOD + "[[exclude]]\nseed = 0", r"\[\[exclude\]\] 1: 'because' is missing"),
    "exclude without condition": (GOOD + '[[exclude]]\nbecause = "x"', r"\[\[exclude\]\] 1: names no field"),
    "exclude that matches nothing": (GOOD + '[[exclude]]\nseed = 9\nbecause = "x"', r"seed = 9 matches no cell; mend"),
    "everything excluded": (GOOD + '[[exclude]]\nseed = 0\nbecause = "x"', r"every cell is excluded"),
    "include that is there": (GOOD + "[[include]]\nseed = 0", r"\[\[include\]\] 1: .*in the matrix already"),
    "unknown model": (
        GOOD.replace("LeNet", "ResNet19"),
        r"\[fixed\] model: 'ResNet19' is no model\. Did you mean 'ResNet",
    ),
    "model of an absent package": (GOOD.replace("LeNet", "nopackage:net"), r"package 'nopackage', which is not found"),
    "unknown recipe": (
        GOOD.replace("fp32", "bf16-amp"),
        r"\[fixed\] precision: 'bf16-amp' is no recipe\. Did you mean 'bf16_amp'",
    ),
    "unknown data": (GOOD.replace("digits", "cifar"), r"\[fixed\] data: 'cifar' is no data\. Did you mean 'cifar10"),
    "missing data folder": (
        GOOD.replace("digits", "folder:/no/such"),
        r"\[fixed\] data: no folder '/no/such'; mend the path",
    ),
    "unknown optimizer": (
        GOOD + 'optimizer = "adamm"',
        r"\[fixed\] optimizer: 'adamm' is not known here\. Did you mean 'adam'",
    ),
    "unknown augmentation": (GOOD + 'augment = ["crops"]', r"'crops', which is no augmentation\. Did you mean 'crop'"),
    "loss scale of fp32": (GOOD + 'loss_scale = "dynamic"', r"precision = 'fp32'.*nothing to scale"),
    "no power of two": (GOOD + 'loss_scale = "static:1000"', r"loss_scale: 'static:1000' is no power of two"),
    "recipe that is built in": (GOOD + '[precision.fp16]\nweights = "bf16"', r"\[precision\.fp16\]: is built in"),
    "recipe with a wrong dtype": (
        GOOD + '[precision.p]\nweights = "fp8"',
        r"\[precision\.p\] weights: 'fp8' is not known",
    ),
    "layers that are no list": (
        GOOD + '[precision.p]\ncompute = "bf16"\nkeep_fp32 = "head"',
        r"\[precision\.p\] keep_fp32: 'head' is str",
    ),
    "a layer that is no name": (
        GOOD + '[precision.p]\ncompute = "bf16"\nkeep_fp32 = ["head (last)"]',
        r"\[precision\.p\] keep_fp32: .*names no layers: write a class",
    ),
    "a layer that is kept twice": (
        GOOD + '[precision.p]\ncompute = "bf16"\nkeep_fp32 = ["head", "head"]',
        r"keep_fp32: .*'head' twice; drop one",
    ),
    "rounds as a field": (GOOD + "round = 1", r"\[fixed\] round: rounds are set by \[measure\]"),
    "rounds in another word": (
        GOOD + '[measure]\nrounds = "adaptative"',
        r"\[measure\] rounds: 'adaptative' is neither a whole number nor 'adaptive'; write one of them",
    ),
    "rounds below one": (GOOD + "[measure]\nrounds = 0", r"\[measure\] rounds: 0 is int.*greater than or equal to 1"),
    "rounds in halves": (GOOD + "[measure]\nrounds = 2.5", r"\[measure\] rounds: 2.5 is float"),
    "table that is none": ("fixed = 3\n" + HEAD, r"'fixed': 3 is no table; write it as \[fixed\]"),
    "include that is no list": (GOOD + "[include]\nseed = 3", r"\[include\]: each entry is a table.*\[\[include\]\]"),
    "not TOML": (HEAD + "[fixed\nmodel = 1", r"is not TOML: .*line 2.*mend that line"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_is_one_line_that_names_place_value_reason_and_next_move(
    what: str, experiment_file: Write
) -> None:
    text, said = WRONG[what]
    path = experiment_file(text)
    with pytest.raises(RequestError, match=said) as caught:
        make_plan(read_experiment(path))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert re.search(r"[;:.?] ?\S", message), "it ends with a next move"


def test_files_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes('question = "Café"'.encode("latin-1"))
    for path, said in (
        (tmp_path / "latn.toml", "no such file. Did you mean"),
        (tmp_path, "is a folder; name the experiment file"),
        (latin, "is not UTF-8 .*; save it as UTF-8"),
    ):
        with pytest.raises(RequestError, match=said):
            read_experiment(path)


@pytest.mark.parametrize("words", thinned([["{path}"], ["{path}", "--plan"], [], ["--nonsense"]], kept=2))
def test_the_command_prints_that_line_and_exits_with_2(words: list[str], experiment_file: Write) -> None:
    path = experiment_file(GOOD + "sedd = 1")
    command = [sys.executable, "bench/run_matrix.py", *(word.format(path=path) for word in words)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "Traceback" not in result.stderr


def test_every_field_of_a_cell_can_be_fixed_or_an_axis(experiment_file: Write) -> None:
    path = experiment_file(
        GOOD + 'augment = ["crop"]\n[matrix]\nchannels_last = [true, false]\nlearning_rate = [1, 0.1]'
    )
    plan = make_plan(read_experiment(path))
    assert [(c.channels_last, c.learning_rate) for c in plan.cells] == [
        (True, 1),
        (True, 0.1),
        (False, 1),
        (False, 0.1),
    ]
    assert plan.cells[0].augment == ("crop",)


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").rglob("*.toml")), ids=lambda path: path.stem)
def test_our_own_experiments_are_valid(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for split in ("train", "test"):
        for folder in ("cifar10-jpeg", "cifar10-jpeg-small"):
            (tmp_path / folder / split).mkdir(parents=True)
    for name in ("vit-base-patch16-224", "tiny-vit"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    experiment = read_experiment(path)
    assert experiment.search or make_plan(experiment).cells


def test_a_file_that_a_program_writes_is_read_back_as_it_was(tmp_path: Path) -> None:
    tables = {
        "matrix": {"precision": ["fp32", "bf16"], "seed": [0, 1]},
        "fixed": {"model": 'a"b\\c', "model_args": {"a b": 0.5}, "batch_size": 8, "drop_last": False},
        "measure": {},
    }
    text = text_of_tables("Why?", tables, comments=["by a program"])
    assert tomllib.loads(text) == {"question": "Why?", "matrix": tables["matrix"], "fixed": tables["fixed"]}
