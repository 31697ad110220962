"""Decoding: nothing of it is lost, all that is wrong is said at once, and a cell's time begins when it is over."""

from __future__ import annotations

import io
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from ampbench.bench.launch.local import preparation
from ampbench.bench.launch.local.preparation import Shown
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.image_cache import place_of
from ampbench.bench.store.run import Run
from ampbench.bench.train.images import growing
from ampbench.bench.train.images.images import load_images, prepare_images
from ampbench.bench.worker.preparation import prepare_apart
from tests.bench.train.images.test_images import make_folder

pytestmark = pytest.mark.usefixtures("cold")


def test_what_a_kill_left_is_decoded_on_and_gives_the_same_images(
    tmp_path: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "data")
    expected = load_images(f"folder:{make_folder(tmp_path / 'same')}", 32)
    decoded.clear()
    place = place_of(f"folder:{folder}", 32)

    def killed(done: int, _all: int) -> None:
        if done == 7:
            with (place.growing / "pixels").open("ab") as file:
                file.write(b"half an image")
            raise KeyboardInterrupt

    monkeypatch.setattr(growing, "PROGRESS_EVERY_S", -1)
    with pytest.raises(KeyboardInterrupt):
        prepare_images(f"folder:{folder}", 32, killed)
    assert len(decoded) == 7
    assert not place.is_ready
    found = load_images(f"folder:{folder}", 32)
    assert len(decoded) == len(set(decoded)) == 18
    assert found.sha256 == expected.sha256
    assert not place.growing.exists()


def test_all_bad_images_are_named_and_the_others_are_decoded_only_once(tmp_path: Path, decoded: list[Path]) -> None:
    folder = make_folder(tmp_path / "data")
    bad = [folder / "train" / "ant" / "1.png", folder / "test" / "bee" / "0.png"]
    for path in bad:
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="2 of 18 images cannot be read") as said:
        prepare_images(f"folder:{folder}", 32)
    for path in bad:
        assert f"{path}: no readable image" in str(said.value)
    decoded.clear()
    with pytest.raises(ValueError, match="2 of 18 images"):
        prepare_images(f"folder:{folder}", 32)
    assert decoded == bad
    decoded.clear()
    for path in bad:
        Image.fromarray(np.full((32, 32, 3), 7, np.uint8)).save(path)
    mended = load_images(f"folder:{folder}", 32)
    assert decoded == bad
    assert int(mended.train_x_NCHW[1].max()) == 7
    assert int(mended.test_x_NCHW[3].max()) == 7
    pixels = np.asarray(Image.open(folder / "train" / "bee" / "5.png")).transpose(2, 0, 1)
    assert np.array_equal(mended.train_x_NCHW[11].numpy(), pixels)


def _prepare(data: str, opened: Any) -> None:
    decode = growing.decode_image

    def counted(path: Path, size: int) -> np.ndarray:
        opened.put(str(path))
        return decode(path, size)

    growing.decode_image = counted
    prepare_images(data, 32)


def test_several_at_once_do_not_decode_an_image_twice(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    context = multiprocessing.get_context("fork")
    opened = context.Queue()
    processes = [context.Process(target=_prepare, args=(f"folder:{folder}", opened)) for _ in range(3)]
    for process in processes:
        process.start()
    paths = [opened.get(timeout=60) for _ in range(18)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert opened.empty()
    assert len(set(paths)) == 18


def test_a_line_says_how_far_it_is_and_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 0.0, 1.0, 10.0, 10.0, 11.0, 40.0, 40.0])
    monkeypatch.setattr(preparation.time, "monotonic", lambda: next(now))
    console = Console(file=io.StringIO(), width=200)
    shown = Shown(console, "folder:cats", 32, log_every_s=10)
    next(now)
    for done in (25, 250, 275, 1000):
        shown.told({"done": done, "of": 1000})
    shown.told({"holder": "LeNet fp32 b1 s0 of x (process 7)"})
    assert console.file.getvalue().splitlines() == [
        "preparing folder:cats at 32x32: 250 of 1,000 images, about 30 s to go",
        "preparing folder:cats at 32x32: 1,000 of 1,000 images, about 0 s to go",
        "preparing folder:cats at 32x32: waiting for the CPU, held by LeNet fp32 b1 s0 of x (process 7)",
    ]


def test_a_cells_time_begins_when_its_data_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """minutes_per_cell counts from the phase `start`."""
    from ampbench.bench.worker import entry as worker

    order: list[object] = []
    monkeypatch.setattr(worker, "prepare_apart", lambda data, size: order.append((data, size)))
    monkeypatch.setattr(worker, "measure_cell", lambda *_: order.append("measured"))
    cell = Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=64)
    run = Run(
        folder=tmp_path / "x" / "runs" / "y",
        cell=cell,
        protocol=MeasurementProtocol(),
        budget=Budget(),
        board=Board(board_id="cpu"),
        order=1,
        command="",
    )
    run.save()
    worker.run_cell(run, lambda **facts: order.append(facts.get("phase")))
    assert order == [("digits", 32), "start", "measured"]


def test_a_worker_decodes_in_another_process_than_its_own(tmp_path: Path, decoded: list[Path]) -> None:
    """Where the data changed since the launcher looked, or a worker is started by hand."""
    folder = make_folder(tmp_path / "data")
    prepare_apart(f"folder:{folder}", 32)
    assert place_of(f"folder:{folder}", 32).is_ready
    assert decoded == []
    (folder / "train" / "ant" / "0.png").write_bytes(b"no image")
    prepare_apart(f"folder:{folder}", 32)  # it is said by whoever loads it
    with pytest.raises(ValueError, match=r"0\.png: no readable image"):
        load_images(f"folder:{folder}", 32)
    assert decoded == [folder / "train" / "ant" / "0.png"]
