"""The cache of decoded images: read where nothing can be written, and a line where it cannot hold them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ampbench.bench.plan.data_place import cache_folder
from ampbench.bench.store import image_cache
from ampbench.bench.store.image_cache import place_of
from ampbench.bench.train.images import image_store, images
from ampbench.bench.train.images.images import load_images, prepare_images
from ampbench.bench.train.statuses import DataTooLarge
from tests.bench.train.images.test_images import make_folder

pytestmark = pytest.mark.usefixtures("cold")


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


def test_of_two_machines_that_decode_the_same_images_the_first_to_finish_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = load_images("digits", 8)
    folder = next(path for path in (cache_folder() / "images").iterdir() if path.is_dir())
    aside = folder.with_name("aside")
    folder.rename(aside)
    put = image_store._put

    def meanwhile(partial: Path, to: Path) -> None:
        aside.rename(to)
        put(partial, to)

    monkeypatch.setattr(image_store, "_put", meanwhile)
    assert load_images("digits", 8).sha256 == first.sha256
    assert not list(folder.parent.glob("*partial"))


def test_a_cache_that_is_whole_is_read_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_images("digits", 8)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(image_cache, "hold_file", refuse)
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
