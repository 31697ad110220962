"""Decoding: nothing of it is lost, all that is wrong is said at once, and what cannot fit is refused beforehand."""

from __future__ import annotations

import io
import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from ampbench.bench.launch import preparation
from ampbench.bench.launch.preparation import Shown
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.data_place import cache_folder
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.image_cache import place_of
from ampbench.bench.store.run import Run
from ampbench.bench.train import growing, image_store, images
from ampbench.bench.train.images import load_images, prepare_images
from ampbench.bench.train.statuses import DataTooLarge
from ampbench.bench.worker.preparation import prepare_apart
from tests.bench.train.test_images import make_folder


@pytest.fixture(autouse=True)
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, empty."""
    monkeypatch.setenv("AMPBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The images that were opened, in order."""
    opened: list[Path] = []
    decode = growing.decode_image

    def counted(path: Path, size: int) -> np.ndarray:
        opened.append(path)
        return decode(path, size)

    monkeypatch.setattr(growing, "decode_image", counted)
    return opened


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

    monkeypatch.setattr(growing, "TELL_EVERY_S", -1)
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


def test_data_that_does_not_fit_into_memory_is_refused_before_anything_is_decoded(
    tmp_path: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "data")
    monkeypatch.setattr(image_store, "_memory_bytes", lambda: 18 * 3 * 64 * 64 - 1)
    with pytest.raises(ValueError, match=r"18 images of 64x64 take 0\.2 MiB, .* the data does not fit; choose a small"):
        load_images(f"folder:{folder}", 64)
    assert decoded == []
    monkeypatch.setattr(image_store, "_memory_bytes", lambda: 2**30)
    with pytest.raises(ValueError, match=r"1,797 images of 512x512 take 1\.3 GiB"):
        load_images("digits", 512)


def test_data_that_does_not_fit_onto_the_disk_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_store.shutil, "disk_usage", lambda _path: Free())
    with pytest.raises(ValueError, match=r"are free there; free some, or name another place with AMPBENCH_CACHE=DIR"):
        load_images("digits", 32)


class Free:
    free = 1000


def test_data_that_a_cell_may_not_map_is_no_out_of_memory_at_a_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    from ampbench.bench.launch.oom_guard import OBSERVED

    prepare_images("digits", 8)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(images.np, "load", refuse)
    with pytest.raises(DataTooLarge, match=r"the data, 0\.00 GiB, does not fit") as said:
        load_images("digits", 8)
    assert not str(said.value).startswith(OBSERVED)


def test_data_that_does_not_fit_onto_the_device_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_images("digits", 8)

    def refuse(self: torch.Tensor, *_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(torch.Tensor, "to", refuse)
    with pytest.raises(DataTooLarge, match=r"does not fit into the memory of cpu; .* loader = 'dataloader'"):
        digits.to(torch.device("cpu"))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(30, "Read-only file system")])
def test_a_cache_that_cannot_be_written_is_one_line(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(image_store.np, "save", refuse)
    with pytest.raises(ValueError, match=rf"{error.strerror}.*AMPBENCH_CACHE=DIR"):
        load_images("digits", 8)
    assert not list((cache_folder() / "images").glob("*partial"))


def test_a_cache_that_is_whole_is_read_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_images("digits", 8)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(images.FileLock, "acquire", refuse)
    assert load_images("digits", 8).sha256 == first.sha256


def test_a_cache_that_an_earlier_version_wrote_is_the_same_to_the_byte(cold: Path) -> None:
    digits = load_images("digits", 16)
    facts = json.loads((place_of("digits", 16).decoded / "facts.json").read_text())
    import hashlib

    arrays = (digits.train_x_NCHW, digits.train_y_N, digits.test_x_NCHW, digits.test_y_N)
    assert facts["sha256"] == hashlib.sha256(b"".join(array.numpy().tobytes() for array in arrays)).hexdigest()
    x = digits.train_x_NCHW.double() / 255
    assert facts["mean"] == pytest.approx(x.mean((0, 2, 3)).tolist(), abs=1e-4)
    assert facts["std"] == pytest.approx(x.std((0, 2, 3), correction=0).tolist(), abs=1e-4)


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
    from ampbench.bench.worker import cell as worker

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
