"""A search is its file and its records: killed anywhere it goes on as if it had not been; the luckiest may lose."""

from __future__ import annotations

import io
import json
import math
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ampbench.bench.auto.search.session import run_search
from ampbench.bench.launch.options import Options
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.store.choices import read_choices
from ampbench.schema.search import read_search, settled
from tests.support.searched import Killed, Made

optuna = pytest.importorskip("optuna", reason="a search needs optuna, of requirements-dev.txt")

TEXT = """
question = "Q?"
[matrix]
[fixed]
model = "SmallCifarNet"
data = "synthetic"
epochs = 6
precision = "fp32"
[search]
trials = 6
pruner = "none"
finalists = 2
reruns = 2
[search.space]
learning_rate = {low = 0.01, high = 0.3, log = true}
batch_size = [64, 128, 256]
"model_args.dropout" = {low = 0.3, high = 0.7}
"""


def hill(cell: Cell, epoch: int) -> float:
    """Best at a learning rate of 0.1 and batch 128; the same for every seed."""
    distance = abs(math.log(cell.learning_rate / 0.1)) + 0.2 * (cell.batch_size != 128)
    return 0.9 * math.exp(-distance / 2) * (1 - 0.5**epoch)


PRUNED = TEXT.replace('"none"', '"median"').replace("trials = 6", "trials = 10")


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Nothing is reported, and git is asked nothing."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ampbench.bench.launch.sweep.git_state", lambda: (None, None))
        patched.setattr("ampbench.bench.launch.sweep.print_report", lambda *_, **__: None)
        yield


def search_in(results: Path, launcher: Made, text: str, **options: object) -> tuple[int, str, Path]:
    """Run a search in a folder; return its exit code, its words and the folder of its results."""
    said = io.StringIO()
    given = Options(launcher=launcher, results=results, **options)
    code = run_search(parse_experiment(Path("made.toml"), text), given, Console(file=said, width=200))
    return code, said.getvalue(), results / "made"


@pytest.fixture
def search(tmp_path: Path) -> Callable[..., tuple[int, str, Path]]:
    """Return `search_in` for this test's own folder."""

    def run(launcher: Made, text: str = TEXT, *, into: str = "a", **options: object) -> tuple[int, str, Path]:
        return search_in(tmp_path / into, launcher, text, **options)

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Cell]]:
    """A search that is finished: its folder, which is only read, and the cells that it ran."""
    made = Made(hill)
    code, _, folder = search_in(tmp_path_factory.mktemp("whole"), made, TEXT)
    assert code == 0
    return folder, made.ran


@pytest.fixture
def finished(whole: tuple[Path, list[Cell]], tmp_path: Path) -> Path:
    """A copy of it, where `search` goes on."""
    return Path(shutil.copytree(whole[0], tmp_path / "a" / "made"))


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search that pruned, which is only read."""
    code, _, folder = search_in(tmp_path_factory.mktemp("pruned"), Made(hill), PRUNED)
    assert code == 0
    return folder


def settings_of(folder: Path) -> list[tuple[object, ...]]:
    record = read_search(folder)
    assert record is not None
    return [(t.number, tuple(t.values.items()), t.cell_id, t.reruns) for t in record.trials]


def test_a_search_killed_before_any_of_its_cells_goes_on_to_the_same_trials_and_repeats_none(search) -> None:
    text = TEXT.replace("trials = 6", "trials = 4").replace("reruns = 2", "reruns = 1")
    whole = Made(hill)
    assert search(whole, text)[0] == 0
    for at in (0, 2, 4, 5):  # before any trial, between two, before the reruns, before the last
        first, second = Made(hill, killed_before=at), Made(hill)
        with pytest.raises(Killed):
            search(first, text, into=f"k{at}")
        code, _, folder = search(second, text, into=f"k{at}")
        assert code == 0
        assert [c.cell_id for c in first.ran + second.ran] == [c.cell_id for c in whole.ran]
        assert settings_of(folder) == settings_of(folder.parents[1] / "a" / "made")


def test_without_its_file_of_proposals_a_search_proposes_the_same_and_runs_none_again(search, finished) -> None:
    before = (finished / "search.json").read_text()
    (finished / "search.json").unlink()
    again = Made(hill)
    search(again)
    assert (again.ran, (finished / "search.json").read_text()) == ([], before)


def test_a_finished_search_runs_nothing_more(search, finished) -> None:
    again = Made(hill)
    code, said, _ = search(again)
    assert (code, again.ran) == (0, [])
    assert "best.toml" in said


def test_more_trials_go_on_from_those_that_are_there(search, whole, finished) -> None:
    before, more = settings_of(finished), Made(hill)
    search(more, TEXT.replace("trials = 6", "trials = 8"))
    after = settings_of(finished)
    assert [row[:3] for row in after[:6]] == [row[:3] for row in before]
    assert [row[0] for row in after] == list(range(8))
    assert not {c.cell_id for c in more.ran} & {c.cell_id for c in whole[1]}


def test_the_tables_hold_the_trials_and_their_reruns_and_nothing_else(whole) -> None:
    folder, ran = whole
    record = read_search(folder)
    wanted = {t.cell_id for t in record.trials} | {cell for t in record.trials for cell in t.reruns}
    rows = pq.read_table(folder / "cells.parquet").to_pylist()
    assert {row["cell_id"] for row in rows} == wanted
    assert len(rows) == len(ran) == 6 + 2 * 2


def test_the_luckiest_trial_loses_to_the_best_mean_over_reruns(search) -> None:
    lucky: list[str] = []

    def noisy(cell: Cell, epoch: int) -> float:
        luck = 0.0
        if cell.seed == 0 and cell.learning_rate < 0.014:  # a bad setting that came out well, once
            lucky.append(cell.cell_id)
            luck = 0.9
        return min(1.0, hill(cell, epoch) / 2 + luck)

    _, _, folder = search(Made(noisy), TEXT.replace("trials = 6", 'trials = 6\nsampler = "random"'))
    record = read_search(folder)
    values = {row["cell_id"]: row["test_accuracy"] for row in pq.read_table(folder / "cells.parquet").to_pylist()}
    found = settled(record, "", values)
    assert found.luckiest.trial.cell_id in lucky
    assert found.best.trial.number != found.luckiest.trial.number
    assert found.best.mean == max(one.mean for one in found.finalists)
    best = tomllib.loads((folder / "best.toml").read_text())
    assert best["fixed"]["learning_rate"] == found.best.trial.values["learning_rate"]
    chosen = {choice.field: choice.value for choice in read_choices(folder)}
    assert chosen == dict(found.best.trial.values)


def test_a_pruned_trial_is_a_row_with_its_reason_and_costs_fewer_epochs(pruned) -> None:
    rows = pq.read_table(pruned / "cells.parquet").to_pylist()
    found = [row for row in rows if row["status"] == "pruned"]
    assert found
    assert all("is worse than" in row["because"] and "median of" in row["because"] for row in found)
    assert all(row["test_accuracy"] is None for row in found)
    epochs = pq.read_table(pruned / "epochs.parquet").to_pylist()
    for row in found:
        assert 1 <= sum(e["cell_id"] == row["cell_id"] for e in epochs) < 6


def test_pruning_is_the_same_after_a_kill(search) -> None:
    text = TEXT.replace('"none"', '"median"').replace("trials = 6", "trials = 9\nparallel = 3")
    whole = Made(hill)
    _, _, folder = search(whole, text)
    with pytest.raises(Killed):
        search(Made(hill, killed_before=7), text, into="k")
    _, _, other = search(Made(hill), text, into="k")
    columns = ["cell_id", "status", "because"]
    rows = [pq.read_table(f / "cells.parquet", columns=columns).to_pylist() for f in (folder, other)]
    assert rows[0] == rows[1]


def test_each_recipe_of_the_matrix_has_a_search_of_its_own(search) -> None:
    text = TEXT.replace('precision = "fp32"\n', "").replace("[matrix]", '[matrix]\nprecision = ["fp32", "bf16_amp"]')
    _, _, folder = search(Made(hill), text)
    record = read_search(folder)
    assert record.studies == ("precision=fp32", "precision=bf16_amp")
    assert [len(record.of(study)) for study in record.studies] == [6, 6]
    assert {choice.subject for choice in read_choices(folder)} == set(record.studies)


def test_optuna_reads_the_study_of_the_folder(pruned) -> None:
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(pruned / "study.journal")))
    study = optuna.load_study(study_name="search", storage=storage)
    assert [trial.number for trial in study.trials] == list(range(10))
    record = read_search(pruned)
    assert [trial.params for trial in study.trials] == [dict(trial.values) for trial in record.trials]
    assert {trial.state.name for trial in study.trials} == {"COMPLETE", "PRUNED"}


def test_a_search_of_which_no_trial_can_run_stops_after_three_and_says_why(search) -> None:
    with pytest.raises(RequestError, match=r"no trial has run so far \(failed, ValueError: made to fail\).*--again"):
        search(Made(lambda cell, epoch: math.nan))
    mended = Made(hill)
    assert search(mended, again=("failed",))[0] == 0
    assert len(mended.ran) == 6 + 2 * 2


def test_a_small_space_is_searched_through_once(search) -> None:
    head, _, _ = TEXT.partition("[search.space]")
    made = Made(hill)
    search(made, head + "[search.space]\nbatch_size = [64, 128]\noptimizer = ['sgd', 'adam']\n")
    assert len({c.cell_id for c in made.ran if c.seed == 0}) == 4
    assert len([c for c in made.ran if c.seed == 0]) == 4


def test_best_toml_is_a_whole_experiment_of_the_best_setting(search) -> None:
    text = TEXT.replace('precision = "fp32"', 'precision = "mine"') + '\n[precision.mine]\ncompute = "bf16"\n'
    _, _, folder = search(Made(hill), text)
    plan = make_plan(parse_experiment(folder / "best.toml", (folder / "best.toml").read_text()))
    record = read_search(folder)
    assert {cell.seed for cell in plan.cells} == {0, 1, 2}
    assert plan.cells[0].cell_id in {trial.cell_id for trial in record.trials}


def test_one_process_at_a_time_searches_in_a_folder(search, tmp_path) -> None:
    from filelock import FileLock

    (tmp_path / "a" / "made").mkdir(parents=True)
    with FileLock(tmp_path / "a" / "made" / ".search.lock"), pytest.raises(RequestError, match="another process"):
        search(Made(hill))


def test_a_record_of_other_fixed_fields_begins_anew(search, finished) -> None:
    other = Made(hill)
    _, _, folder = search(other, TEXT.replace("epochs = 6", "epochs = 7"))
    assert len(other.ran) == 10
    assert len(json.loads((folder / "search.json").read_text())["trials"]) == 6
