"""Words for a batch size in an experiment file: the file keeps them, the plan has each recipe's own number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ampbench.bench.auto import batch_search
from ampbench.bench.auto.found_batches import lines_before_trials, with_found_batches
from ampbench.bench.launch.options import Options
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import Plan, make_plan
from ampbench.schema.choices import read_choices
from ampbench.schema.identity import Ending
from tests.support.lawful import Lawful, linear

pytestmark = pytest.mark.usefixtures("unjoined")

HEAD = 'question = "Q?"\n[fixed]\nmodel = "LeNet"\ndata = "cifar10"\n'
MATRIX = '[matrix]\nseed = [0, 1]\nprecision = ["fp32", "bf16_amp"]\n'
LIMIT = "[budget]\nmemory_gib_per_cell = 1\n"
MAX = HEAD + 'batch_size = "max"\n' + MATRIX + LIMIT
MEMORY = linear(200, 4)

Found = Callable[..., Plan]


def speed(cell: Cell) -> float:
    return 10_000 * cell.batch_size / (cell.batch_size + 10)


@pytest.fixture(autouse=True)
def predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(cells: Sequence[Cell], tell: Callable[[str], None]) -> dict[str, int | str]:
        return {cell.cell_id: MEMORY(cell) for cell in cells}

    monkeypatch.setattr(batch_search, "predict_memory", predict)


@pytest.fixture
def plan_of(tmp_path: Path, console: Console) -> Found:
    def run(text: str, **laws: Any) -> Plan:
        experiment = parse_experiment(tmp_path / "trial.toml", text)
        launcher = Lawful(endings={}, **{"bytes_of": MEMORY, "images_per_s": speed, **laws})
        run.launcher = launcher  # type: ignore[attr-defined]
        return make_plan(with_found_batches(experiment, Options(launcher=launcher, results=tmp_path), console))

    return run


def sizes(plan: Plan) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for cell in plan.cells:
        found.setdefault(cell.precision.name, set()).add(cell.batch_size)
    return found


def test_each_recipe_runs_at_its_own_largest_batch_under_one_limit(plan_of: Found, tmp_path: Path) -> None:
    plan = plan_of(MAX)
    assert len(plan.cells) == 4
    assert sizes(plan) == {"fp32": {192}, "bf16_amp": {384}}  # (0.95 GiB - 200 MiB) / 4 and / 2 MiB
    choices = {choice.subject: choice for choice in read_choices(tmp_path / "trial")}
    assert choices["fp32"].value == 192
    assert "200 runs out of memory" in choices["fp32"].reason
    assert choices["fp32"].by == "measurement"


def test_a_second_run_repeats_no_trial_and_has_the_same_plan(plan_of: Found, tmp_path: Path) -> None:
    first = plan_of(MAX)
    reasons = read_choices(tmp_path / "trial")
    assert "was predicted" in reasons[0].reason
    assert plan_of(MAX).cells == first.cells
    assert plan_of.launcher.tried == []  # type: ignore[attr-defined]
    assert read_choices(tmp_path / "trial") == reasons


def test_the_knee_is_smaller_and_no_slower(plan_of: Found) -> None:
    plan = plan_of(MAX.replace('"max"', '"knee"'))
    for cell in plan.cells:
        assert cell.batch_size < 192
        assert speed(cell) >= 9000


def test_an_axis_may_hold_words_and_numbers_and_no_cell_comes_twice(plan_of: Found) -> None:
    text = HEAD + MATRIX + 'batch_size = [64, "knee", "max"]\n' + LIMIT
    plan = plan_of(text, images_per_s=lambda cell: float(cell.batch_size))
    ids = [cell.cell_id for cell in plan.cells]
    assert len(ids) == len(set(ids))
    assert 64 in sizes(plan)["fp32"]
    assert len(sizes(plan)["fp32"]) <= 3


def test_models_have_numbers_of_their_own_and_seeds_share_one(plan_of: Found, tmp_path: Path) -> None:
    text = MAX.replace('model = "LeNet"\n', "").replace("[matrix]\n", '[matrix]\nmodel = ["LeNet", "VGG19"]\n')

    def bytes_of(cell: Cell) -> int:
        return MEMORY(cell) * (2 if cell.model == "VGG19" else 1)

    plan = plan_of(text, bytes_of=bytes_of)
    assert len({(cell.model, cell.precision.name, cell.batch_size) for cell in plan.cells}) == 4
    subjects = {choice.subject for choice in read_choices(tmp_path / "trial")}
    assert subjects == {f"{name} model={model}" for name in ("fp32", "bf16_amp") for model in ("LeNet", "VGG19")}


def test_a_recipe_that_fits_nowhere_is_an_excluded_row_with_its_reason(plan_of: Found) -> None:
    def bytes_of(cell: Cell) -> int:
        return MEMORY(cell) if cell.precision.autocast else 2**40

    plan = plan_of(MAX, bytes_of=bytes_of)
    assert {cell.precision.name for cell in plan.cells} == {"bf16_amp"}
    assert {because for _, because in plan.excluded} == {
        "batch size 1, the smallest that was tried, runs out of memory"
    }


def test_a_net_that_fits_at_no_batch_is_said_in_one_line(plan_of: Found) -> None:
    with pytest.raises(
        RequestError, match=r"trial\.toml, batch_size: no cell has a batch size that fits: fp32 and bf16_amp: batch"
    ):
        plan_of(MAX, bytes_of=lambda cell: 2**40)


def test_data_that_fills_the_memory_by_itself_is_tried_once(plan_of: Found) -> None:
    because = "the data, 9.00 GiB, does not fit into the memory that a cell may take"
    with pytest.raises(
        RequestError, match=r"no cell has a batch size that fits: fp32 and bf16_amp: the data, 9.00 GiB, does not"
    ):
        plan_of(MAX, ends=lambda cell: Ending(status="oom", because=because))
    assert len(plan_of.launcher.tried) == 2  # type: ignore[attr-defined]


def test_an_unsupported_recipe_runs_once_to_its_row(plan_of: Found) -> None:
    def ends(cell: Cell) -> Ending | None:
        return Ending(status="unsupported", because="no such unit") if cell.precision.autocast else None

    assert sizes(plan_of(MAX, ends=ends)) == {"fp32": {192}, "bf16_amp": {16}}


def test_excluded_kinds_are_not_tried(plan_of: Found) -> None:
    plan = plan_of(MAX + '[[exclude]]\nprecision = "fp32"\nbecause = "known"\n')
    assert {cell.precision.name for cell in plan_of.launcher.tried} == {"bf16_amp"}  # type: ignore[attr-defined]
    assert sizes(plan) == {"bf16_amp": {384}}
    assert {because for _, because in plan.excluded} == {"known"}


def test_the_plan_says_which_trials_a_run_begins_with(tmp_path: Path, console: Console) -> None:
    experiment = parse_experiment(tmp_path / "trial.toml", MAX)
    options = Options(launcher=Lawful(endings={}, bytes_of=MEMORY, images_per_s=speed), results=tmp_path)
    lines = "\n".join(lines_before_trials(experiment, options, console))
    assert "LeNet in bf16_amp, batch_size = 'max'" in lines
    assert "at most 0.95 GiB each" in lines
    assert not list(tmp_path.rglob("record.parquet"))
    with_found_batches(experiment, options, console)
    assert lines_before_trials(experiment, options, console) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MAX.replace('"max"', '"maximum"'), "'maximum' is no batch size; write a number, or one of max, knee"),
        (MAX + '[[exclude]]\nbatch_size = "max"\nbecause = "no"\n', "'max' is a number of its own for every cell"),
    ],
)
def test_a_wrong_word_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_experiment(Path("trial.toml"), text)


def test_a_plan_without_trials_refuses_the_word_in_one_line() -> None:
    with pytest.raises(RequestError, match="batch_size = 'max' is a number only after its trials"):
        make_plan(parse_experiment(Path("trial.toml"), MAX))
