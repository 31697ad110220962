"""From a network to an answer, on a launcher whose cells end by laws: what an advice should find is known."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from ampbench.bench.auto import batch_search
from ampbench.bench.auto.advice.advise import advise
from ampbench.bench.auto.advice.request import Request
from ampbench.bench.launch.options import Options
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.schema.choices import Choice, read_choices
from ampbench.schema.identity import Ending
from tests.support.lawful import Lawful, linear

ASKED = Request(
    model="ResNet18",
    data="synthetic",
    fixed={"loader": "device"},
    recipes=("fp32", "bf16_amp", "fp16_amp_scaled"),
    minutes=60.0,
    max_memory_bytes=4 * 2**30,
)
FACTORS = {"fp32": 1.0, "bf16_amp": 1.8, "fp16_amp_scaled": 0.1}
MEMORY = linear(200, 4)


@pytest.fixture(autouse=True)
def unjoined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlike in a search alone, the tables are joined: the answer is read from them. Git is asked nothing."""
    monkeypatch.setattr("ampbench.bench.launch.sweep.git_state", lambda: (None, None))


def speed(cell: Cell) -> float:
    """By the recipe and the batch size, with a spread of 1 % between processes."""
    noise = random.Random(cell.cell_id).gauss(0, 0.01)
    return FACTORS[cell.precision.name] * 10_000 * cell.batch_size / (cell.batch_size + 30) * math.exp(noise)


@dataclasses.dataclass
class Trial:
    """An advice in a folder of its own, on lawful launchers."""

    folder: Path
    text: str = ""

    def run(self, asked: Request = ASKED, **laws: Any) -> tuple[int, Lawful]:
        launcher = Lawful(**{"endings": {}, "bytes_of": MEMORY, "images_per_s": speed, **laws})
        console = Console(file=io.StringIO(), width=100)
        code = advise(asked, self.folder, Options(launcher=launcher), console)
        self.text = console.file.getvalue()
        return code, launcher

    @property
    def chosen(self) -> dict[str, Choice]:
        return {one.field: one for one in read_choices(self.folder) if not one.subject}

    @property
    def values(self) -> dict[str, tuple[Any, str]]:
        return {field: (one.value, one.reason) for field, one in self.chosen.items()}


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    def predicted(cells: Sequence[Cell], tell: Callable[[str], None]) -> dict[str, int | str]:
        return {cell.cell_id: MEMORY(cell) for cell in cells}

    monkeypatch.setattr(batch_search, "predict_memory", predicted)
    return Trial(tmp_path / "advise-ResNet18")


@pytest.mark.whole
def test_an_advice_names_batch_rate_and_recipe_and_leaves_files_that_run_again(trial: Trial) -> None:
    code, launcher = trial.run()
    assert code == 0
    assert trial.chosen["batch_size"].by == "measurement"
    assert "train in bf16_amp at batch" in trial.text
    assert "fp16_amp_scaled 10" in trial.text or "fp16_amp_scaled 9" in trial.text, "about 10x slower"
    size = trial.chosen["batch_size"].value
    assert isinstance(size, int)
    assert speed_of(size) > 0.9 * speed_of(4096), "within 10 % of the best"
    assert {path.name for path in trial.folder.glob("*.toml")} >= {"speed.toml", "start.toml", "settle.toml"}
    ran = [cell.cell_id for cell in launcher.tried]
    assert len(ran) == len(set(ran))


def speed_of(size: int) -> float:
    return size / (size + 30)


@pytest.mark.whole
@pytest.mark.parametrize("moment", [0, 3, 9, 14, 18])
def test_an_advice_that_was_interrupted_goes_on_to_the_same_answer_and_repeats_no_cell(
    moment: int, trial: Trial, tmp_path: Path
) -> None:
    _, whole = trial.run()
    answer, values = _after(trial.text, "train in"), trial.values
    again = Trial(tmp_path / "second")
    code, first = again.run(interrupt_at=moment)
    assert code == 130
    assert "the same command goes on" in again.text
    code, rest = again.run()
    assert code == 0
    assert _after(again.text, "train in") == answer
    assert again.values == values
    assert sorted(cell.cell_id for cell in first.tried + rest.tried) == sorted(cell.cell_id for cell in whole.tried)


def _after(text: str, words: str) -> str:
    return next(line for line in text.splitlines() if words in line)


@pytest.mark.whole
def test_what_a_person_gave_is_kept(trial: Trial) -> None:
    code, launcher = trial.run(
        dataclasses.replace(ASKED, fixed={"batch_size": 48, "learning_rate": 0.3, "loader": "device"})
    )
    assert code == 0
    assert {cell.batch_size for cell in launcher.tried} == {48}
    assert {cell.learning_rate for cell in launcher.tried} == {0.3}
    assert (trial.chosen["batch_size"].by, trial.chosen["learning_rate"].by) == ("user", "user")


@pytest.mark.whole
def test_a_network_that_fits_at_no_batch_size_is_one_line(trial: Trial) -> None:
    with pytest.raises(RequestError, match="trains at no batch size here") as refused:
        trial.run(bytes_of=lambda cell: 2**40)
    assert "\n" not in str(refused.value)
    assert not trial.chosen.keys() & {"speed", "start"}


def test_too_few_minutes_give_what_there_is_and_why_no_more(trial: Trial) -> None:
    code, launcher = trial.run(dataclasses.replace(ASKED, minutes=0.1))
    assert (code, launcher.tried) == (0, [])
    assert trial.chosen["batch_size"].by == "rule"
    assert "give more --minutes" in trial.chosen["speed"].reason
    assert "No answer yet" in trial.text


@pytest.mark.whole
def test_one_recipe_has_nothing_to_be_compared_with(trial: Trial) -> None:
    code, _ = trial.run(dataclasses.replace(ASKED, recipes=("fp32",)))
    assert code == 0
    assert "nothing to compare it with" in " ".join(trial.text.split())


@pytest.mark.whole
def test_a_network_that_diverges_in_16_bits_stays_in_fp32(trial: Trial) -> None:
    def ends(cell: Cell) -> Ending | None:
        is_fp32 = cell.precision.name == "fp32"
        return None if is_fp32 else Ending(status="diverged", because="loss was nan at step 3; first in conv1")

    code, _ = trial.run(ends=ends)
    assert code == 0
    assert "stay with fp32" in trial.text


@pytest.mark.whole
def test_what_failed_is_run_again_once_its_cause_is_mended(trial: Trial) -> None:
    def ends(cell: Cell) -> Ending | None:
        return Ending(status="failed", because="ValueError: no input_shape")

    with pytest.raises(RequestError, match="no input_shape"):
        trial.run(ends=ends)
    code, _ = trial.run()
    assert code == 0
    assert "train in bf16_amp at batch" in trial.text

    given = Trial(trial.folder.with_name("given"))
    asked = dataclasses.replace(ASKED, fixed={"batch_size": 48, "loader": "device"})
    given.run(asked, ends=ends)
    assert "no run ended well" in " ".join(given.text.split())
    given.run(asked)
    assert "train in bf16_amp at batch 48" in given.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipes": ("fp32", "bf61")}, "--recipes: 'bf61' is no recipe"),
        ({"model": "ResNet81"}, "--model: 'ResNet81' is no model"),
        ({"data": "cifar01"}, "--data: 'cifar01' is no data"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_measured(
    change: dict[str, Any], said: str, trial: Trial
) -> None:
    with pytest.raises(RequestError, match=said):
        trial.run(dataclasses.replace(ASKED, **change))
    assert not trial.folder.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fixed": {"batch_size": 0}}, r"\[fixed\] batch_size: 0 "),
        ({"fixed": {"batch_size": "max"}}, "--batch-size max: write a number, or leave it out"),
        ({"fixed": {"learning_rate": "fast"}}, "learning_rate"),
        ({"model": "PowerCifarNet:widht=2"}, "takes no 'widht'. Did you mean 'width'"),
        ({"model": "PowerCifarNet:width=2,width=3"}, "names an argument twice"),
    ],
)
def test_a_wrong_value_is_refused_before_the_folder_is_taken_by_its_question(
    change: dict[str, Any], said: str, trial: Trial
) -> None:
    with pytest.raises(RequestError, match=said):
        trial.run(dataclasses.replace(ASKED, **change))
    assert not trial.folder.exists()


def test_a_network_with_arguments_after_its_name_is_advised_on(trial: Trial) -> None:
    asked = dataclasses.replace(ASKED, model="PowerCifarNet:width=0.5,dropout=0.4", minutes=0.1)
    assert trial.run(asked)[0] == 0
    assert "No answer yet" in trial.text


def test_a_batch_size_by_rule_is_searched_by_a_later_call_with_more_minutes(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.run(dataclasses.replace(ASKED, minutes=0.1))
    assert trial.chosen["batch_size"].by == "rule"
    monkeypatch.setattr("ampbench.bench.auto.advice.advise.speed", lambda session, recipes: None)
    _, launcher = trial.run()
    assert trial.chosen["batch_size"].by == "measurement"
    assert launcher.tried
    _, again = trial.run()
    assert again.tried == [], "the trials are known, whatever rate was chosen since"


def test_a_batch_size_is_never_chosen_from_the_one_that_there_was_time_for(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ampbench.bench.auto.advice.advise.speed", lambda session, recipes: None)
    monkeypatch.setattr(batch_search.BatchSearch, "_in_time", lambda self, cells: [] if self.known else cells)
    trial.run()
    assert trial.chosen["batch_size"].by == "rule"
    assert trial.chosen["batch_size"].reason.endswith("; the time was over after one trial, at 16")


def test_few_images_are_all_of_a_batch_by_rule(trial: Trial, tmp_path: Path) -> None:
    for split, name in itertools.product(("train", "test"), ("cat/1.png", "cat/2.png", "dog/1.png")):
        path = tmp_path / "images" / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(path)
    trial.run(dataclasses.replace(ASKED, data=f"folder:{tmp_path / 'images'}", fixed={}, minutes=0.1))
    assert trial.chosen["batch_size"].value == 3
    assert trial.chosen["batch_size"].reason.startswith("all training images; by the rule 128: ")
    assert trial.chosen["num_workers"].reason.endswith("the time was over before the first trial"), "no memory is told"
