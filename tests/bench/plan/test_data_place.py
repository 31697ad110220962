"""Where data lies: found, or said to be missing, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ampbench.bench.plan.data_place import ARCHIVES, DATA_DIR, archive_folder, state_of, use_data_dir
from ampbench.bench.plan.dry_run import outline
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import make_plan

EXPERIMENT = """
question = "?"
[fixed]
model = "LeNet"
data = "{data}"
precision = "fp32"
batch_size = 8
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder and a cache with nothing in them."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("AMPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(DATA_DIR, "")
    return tmp_path


def test_what_is_nowhere_will_be_downloaded_and_the_plan_says_to_where(elsewhere: Path) -> None:
    assert archive_folder("cifar10") == elsewhere / "cache" / "downloads"
    assert state_of("cifar10").startswith(f"will be downloaded to {elsewhere / 'cache' / 'downloads'} (163 MiB)")


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_in_data_is_seen_packed_or_unpacked(elsewhere: Path, name: str) -> None:
    (elsewhere / "here" / "data" / ARCHIVES[name].unpacked).mkdir(parents=True)
    assert archive_folder(name) == elsewhere / "here" / "data"
    assert state_of(name) == f"is there, in {elsewhere / 'here' / 'data'}"
    other = next(other for other in ARCHIVES if other != name)
    assert "downloaded" in state_of(other)


def test_a_data_dir_comes_first_and_is_where_it_is_downloaded_to(elsewhere: Path) -> None:
    (elsewhere / "mine").mkdir()
    use_data_dir(elsewhere / "mine")
    assert archive_folder("cifar10") == elsewhere / "mine"
    (elsewhere / "here" / "data").mkdir()
    (elsewhere / "here" / "data" / ARCHIVES["cifar10"].file).touch()
    assert archive_folder("cifar10") == elsewhere / "here" / "data", "it is there, so nothing is downloaded"
    (elsewhere / "mine" / ARCHIVES["cifar10"].file).touch()
    assert archive_folder("cifar10") == elsewhere / "mine"


def test_a_data_dir_that_is_not_there_is_one_line(elsewhere: Path) -> None:
    with pytest.raises(RequestError, match=r"--data-dir .*nowhere: no such folder; make it"):
        use_data_dir(elsewhere / "nowhere")


def test_what_was_decoded_needs_no_archive(elsewhere: Path) -> None:
    decoded = elsewhere / "cache" / "images" / "cifar10-32-named"
    decoded.mkdir(parents=True)
    (decoded / "facts.json").touch()
    assert state_of("cifar10").startswith("is there, decoded")
    assert "downloaded" in state_of("cifar100")


def test_the_plan_says_where_the_data_is(elsewhere: Path, experiment_file: Callable[..., Path]) -> None:
    for data, said in (
        ("cifar10", "Data: cifar10 will be downloaded to"),
        ("digits", "Data: digits needs no download."),
    ):
        plan = make_plan(read_experiment(experiment_file(EXPERIMENT.format(data=data))))
        assert said in "\n".join(outline(plan, plan.cells, done=(), cell_s={}))
