"""The loader and its processes: kept on the device where they fit, else as many as the speed needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from ampbench.bench.auto import workers
from ampbench.bench.auto.workers import data_bytes, enough_workers, find_workers, next_workers
from ampbench.bench.launch.options import Options
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.recipe import RECIPES
from ampbench.schema.choices import Choice
from ampbench.schema.identity import Ending
from tests.support.lawful import Lawful, linear

pytestmark = pytest.mark.usefixtures("unjoined")

GIB = 2**30
Find = Callable[..., dict[str, Choice]]


@pytest.fixture
def find(tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch) -> Find:
    def run(launcher: Lawful, *, free: int | None, minutes: float = 60) -> dict[str, Choice]:
        monkeypatch.setattr(workers, "free_bytes", lambda board: free)
        monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)))
        subject = {"model": "LeNet", "data": "cifar10"}
        options = Options(launcher=launcher)
        found = find_workers(
            subject, "bf16_amp", 128, folder=tmp_path, options=options, console=console, minutes=minutes
        )
        return {choice.field: choice for choice in found}

    return run


def loading(per_process: float, most: float) -> Callable[[Cell], float]:
    """Every process loads so many images a second, until the training is the limit."""
    return lambda cell: min(most, per_process * max(0.8, cell.num_workers))


def law(images_per_s: Callable[[Cell], float], **more: object) -> Lawful:
    return Lawful(endings={}, bytes_of=linear(10, 1), images_per_s=images_per_s, **more)  # type: ignore[arg-type]


def test_images_that_fit_on_the_device_stay_there_without_a_trial(find: Find) -> None:
    launcher = law(loading(1000, 5000))
    found = find(launcher, free=24 * GIB)
    assert (found["loader"].value, found["num_workers"].value) == ("device", 0)
    assert "0.143 GiB of the 24 GiB" in found["loader"].reason
    assert launcher.tried == []


def test_else_the_fewest_processes_that_keep_up_with_the_training(find: Find) -> None:
    launcher = law(loading(1000, 3500))
    found = find(launcher, free=GIB // 4)
    assert [cell.num_workers for cell in launcher.tried] == [0, 1, 2, 4, 8]
    assert found["loader"].value == "dataloader"
    assert found["num_workers"].value == 4
    assert found["num_workers"].reason == "100% of the best images/s"


def test_trials_that_were_run_are_not_repeated(find: Find) -> None:
    first = find(law(loading(1000, 3500)), free=None)
    again = law(loading(1000, 3500))
    assert find(again, free=None) == first
    assert again.tried == []


def test_when_the_time_is_over_what_is_known_is_answered(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0, 10)
    monkeypatch.setattr(workers.time, "monotonic", lambda: float(next(clock)))
    launcher = law(loading(1000, 10_000))
    assert find(launcher, free=None, minutes=0.5)["num_workers"].value == max(
        cell.num_workers for cell in launcher.tried
    )


def test_an_error_of_the_loader_is_said_in_one_line(find: Find) -> None:
    def ends(cell: Cell) -> Ending | None:
        return Ending(status="failed", because="RuntimeError: no shared memory") if cell.num_workers else None

    with pytest.raises(RequestError, match="with 1 loading processes failed: RuntimeError: no shared memory"):
        find(law(loading(1000, 3500), ends=ends), free=None)


def test_more_processes_than_cores_are_never_tried() -> None:
    speeds: dict[int, float | None] = {}
    while (number := next_workers(speeds, 2)) is not None:
        speeds[number] = 100.0 * (number + 1)
    assert list(speeds) == [0, 1, 2]
    assert enough_workers(speeds) == 2
    assert enough_workers({0: None}) is None


def test_one_process_that_is_slower_than_none_ends_nothing() -> None:
    assert next_workers({0: 100.0, 1: 80.0}, 16) == 2
    assert next_workers({0: 100.0, 1: 80.0, 2: 101.0}, 16) is None


def test_the_images_of_a_folder_are_counted_so_that_they_stay_on_the_device(tmp_path: Path) -> None:
    for split, num in (("train", 3), ("test", 1)):
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(num):
                (tmp_path / split / label / f"{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    cell = Cell(model="LeNet", data=f"folder:{tmp_path}", precision=RECIPES["fp32"], batch_size=2, image_size=16)
    assert data_bytes(cell) == 6 * 3 * 16 * 16
