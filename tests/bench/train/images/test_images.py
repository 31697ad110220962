"""Data: what comes out of every source, and what is said of a broken one. No network."""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ampbench.bench.train.images import images
from ampbench.bench.train.images.images import load_images


def test_digits_are_real_images_split_once_and_for_all() -> None:
    digits = load_images("digits", 32)
    assert digits.train_x_NCHW.shape == (1437, 3, 32, 32)
    assert digits.test_x_NCHW.shape == (360, 3, 32, 32)
    assert digits.train_x_NCHW.dtype == torch.uint8
    assert digits.train_x_NCHW.max() > 250
    assert torch.bincount(digits.test_y_N).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    assert load_images("digits", 32).sha256 == digits.sha256


def test_synthetic_images_are_random_bits_and_never_zeros() -> None:
    synthetic = load_images("synthetic", 32)
    assert synthetic.num_classes == 10
    assert (synthetic.train_x_NCHW == 0).float().mean() < 0.01
    assert synthetic.train_x_NCHW.float().std() > 40


def make_folder(root: Path, *, size: tuple[int, int] = (32, 32), mode: str = "RGB") -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for name in ("ant", "bee"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                shape = size if mode == "L" else (*size, 3)
                Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8), mode).save(folder / f"{i}.png")
    return root


def test_a_folder_is_decoded_once_and_again_when_an_image_changes(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    first = load_images(f"folder:{folder}", 32)
    assert first.train_x_NCHW.shape == (12, 3, 32, 32)
    assert first.train_y_N.tolist() == [0] * 6 + [1] * 6
    pixels = np.asarray(Image.open(folder / "train" / "ant" / "0.png")).transpose(2, 0, 1)
    assert np.array_equal(first.train_x_NCHW[0].numpy(), pixels)
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / "train" / "ant" / "0.png")
    assert load_images(f"folder:{folder}", 32).sha256 != first.sha256


@pytest.mark.parametrize(("size", "mode"), [((20, 48), "RGB"), ((32, 32), "L")])
def test_odd_sized_and_grayscale_images_become_rgb_squares(tmp_path: Path, size: tuple[int, int], mode: str) -> None:
    folder = make_folder(tmp_path / "data", size=size, mode=mode)
    assert load_images(f"folder:{folder}", 32).train_x_NCHW.shape == (12, 3, 32, 32)


def _break(folder: Path, how: str) -> None:
    ant = folder / "train" / "ant"
    if how == "corrupt":
        (ant / "0.png").write_bytes(b"no image")
    elif how == "empty":
        for path in ant.iterdir():
            path.unlink()
    elif how == "one class":
        for split in ("train", "test"):
            for path in (folder / split / "bee").iterdir():
                path.unlink()
            (folder / split / "bee").rmdir()
    else:
        (folder / "test" / "bee").rename(folder / "test" / "wasp")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("corrupt", r"0\.png: no readable image .*mend or remove it"),
        ("empty", "ant.*put at least one image into every class folder"),
        ("one class", "a single class cannot be learnt"),
        ("other classes", r"do not hold the same classes \(bee, wasp\); mend"),
    ],
)
def test_a_broken_folder_is_one_line_with_the_next_move(tmp_path: Path, how: str, said: str) -> None:
    folder = make_folder(tmp_path / "data")
    _break(folder, how)
    with pytest.raises(ValueError, match=said):
        load_images(f"folder:{folder}", 32)


def test_an_image_that_breaks_off_in_the_middle_is_named_too(tmp_path: Path) -> None:
    """Pillow raises a SyntaxError over a damaged chunk, which is no OSError."""
    folder = make_folder(tmp_path / "data")
    path = folder / "train" / "ant" / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)).save(path)
    start, first, rest = path.read_bytes().partition(b"IDAT")
    assert b"IDAT" in rest
    path.write_bytes(start + first + rest.replace(b"IDAT", b"\x00\x01\x02\x03", 1))
    with pytest.raises(ValueError, match=rf"{path.name}: no readable image .*mend or remove it"):
        load_images(f"folder:{folder}", 32)


def test_folders_behind_links_are_told_apart_and_watched(tmp_path: Path) -> None:
    """ImageFolder follows links, so the cache must."""
    linked = []
    for name, count in (("few", 2), ("many", 3)):
        source = make_folder(tmp_path / name)
        for k in range(count):
            Image.fromarray(np.full((32, 32, 3), k, np.uint8)).save(source / "train" / "ant" / f"more{k}.png")
        folder = tmp_path / f"link-{name}"
        folder.mkdir()
        for split in ("train", "test"):
            (folder / split).symlink_to(source / split)
        linked.append(folder)
    few, many = (len(load_images(f"folder:{folder}", 32).train_y_N) for folder in linked)
    assert many == few + 1
    (tmp_path / "few" / "train" / "ant" / "more0.png").unlink()
    assert len(load_images(f"folder:{linked[0]}", 32).train_y_N) == few - 1


def test_folders_of_equal_names_sizes_and_times_are_told_apart(tmp_path: Path) -> None:
    levels = []
    for name, level in (("dark", 10), ("light", 200)):
        for split in ("train", "test"):
            for kind in ("ant", "bee"):
                path = tmp_path / name / split / kind / "0.bmp"
                path.parent.mkdir(parents=True)
                Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(path)
                os.utime(path, (0, 0))
        levels.append(int(load_images(f"folder:{tmp_path / name}", 32).train_x_NCHW[0, 0, 0, 0]))
    assert levels == [10, 200]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    (folder / "train" / "ant" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match=r"gone\.png: no readable image \(No such file.*mend or remove it"):
        load_images(f"folder:{folder}", 32)


def test_sixteen_bits_become_eight_and_32_are_refused(tmp_path: Path) -> None:
    """Pillow itself makes all of them white."""
    folder = make_folder(tmp_path / "data")
    path = folder / "train" / "ant" / "0.png"
    Image.fromarray(np.full((32, 32), 0x4021, np.uint16)).save(path)
    assert int(load_images(f"folder:{folder}", 32).train_x_NCHW[0, 0, 0, 0]) == 0x40
    Image.fromarray(np.full((32, 32), 70_000, np.int32)).save(path.with_suffix(".tiff"))
    with pytest.raises(ValueError, match=r"0\.tiff: no readable image \(pixels of 32 bits"):
        load_images(f"folder:{folder}", 32)


def make_cifar_archive(folder: Path) -> dict[str, str]:
    """Write a cifar-10-python.tar.gz of 8 images a batch; return file name -> md5."""
    rng = np.random.default_rng(0)
    source = folder / "cifar-10-batches-py"
    source.mkdir(parents=True)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name in names:
        batch = {"data": rng.integers(0, 256, (8, 3072), dtype=np.uint8), "labels": rng.integers(0, 10, 8).tolist()}
        (source / name).write_bytes(pickle.dumps(batch))
    (source / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    archive = folder / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, arcname=source.name)
    files = [archive, *source.iterdir()]
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def tiny_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve a tiny archive on the loopback; yield the folder that it lies in."""
    from torchvision.datasets import CIFAR10

    monkeypatch.setenv("AMPBENCH_CACHE", str(tmp_path / "cache"))
    md5 = make_cifar_archive(tmp_path / "server")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "server"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5["cifar-10-python.tar.gz"])
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{i}", md5[f"data_batch_{i}"]] for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5["batches.meta"]})
    yield tmp_path / "server"
    server.shutdown()
    server.server_close()


@pytest.mark.whole
def test_cifar10_is_downloaded_checked_and_reused(tiny_cifar: Path) -> None:
    cifar = load_images("cifar10", 32)
    assert cifar.train_x_NCHW.shape == (40, 3, 32, 32)
    assert cifar.test_x_NCHW.shape == (8, 3, 32, 32)
    assert cifar.mean == images.CIFAR_MEAN
    for path in tiny_cifar.glob("*.tar.gz"):
        path.unlink()
    assert load_images("cifar10", 32).sha256 == cifar.sha256
    assert load_images("cifar10", 16).train_x_NCHW.shape == (40, 3, 16, 16), "another size needs no second download"


@pytest.mark.whole
def test_a_download_that_fails_names_the_other_choices(tiny_cifar: Path) -> None:
    (tiny_cifar / "cifar-10-python.tar.gz").unlink()
    with pytest.raises(ValueError, match=r"download from .* failed .*put .* into .*'digits' and 'synthetic' need no"):
        load_images("cifar10", 32)


@pytest.mark.whole
def test_an_archive_with_a_wrong_md5_is_not_used(tiny_cifar: Path) -> None:
    (tiny_cifar / "cifar-10-python.tar.gz").write_bytes(b"tampered")
    with pytest.raises(ValueError, match="failed"):
        load_images("cifar10", 32)


def test_synthetic_images_are_noise_and_never_zeros() -> None:
    """Zeros draw less power, so an H200 runs 13 % faster on them."""
    pixels = load_images("synthetic", 32).train_x_NCHW
    assert float(pixels.float().std()) > 50
    assert float((pixels == 0).float().mean()) < 0.05
