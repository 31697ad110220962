"""CIFAR and other sets in the forms in which people have them: broken, unpacked, as Parquet. No network."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ampbench.bench.plan.data_place import DATA_DIR, state_of
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.source import check_data, data_note
from ampbench.bench.train.images.images import load_images
from tests.bench.train.images.test_images import make_cifar_archive

FILE, UNPACKED = "cifar-10-python.tar.gz", "cifar-10-batches-py"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny archive of the right md5, and nowhere to download another from; yield the folder that it lies in."""
    from torchvision.datasets import CIFAR10

    md5 = make_cifar_archive(tmp_path / "made")
    monkeypatch.setenv("AMPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(DATA_DIR, str(tmp_path / "data"))
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5[FILE])
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{i}", md5[f"data_batch_{i}"]] for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5["batches.meta"]})
    (tmp_path / "data").mkdir()
    return tmp_path / "made"


def test_packed_and_unpacked_are_the_same_images(archive: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copy(archive / FILE, data)
    packed = load_images("cifar10", 32)
    assert packed.train_x_NCHW.shape == (40, 3, 32, 32)
    assert packed.classes == tuple("abcdefghij")
    assert not (data / UNPACKED).exists(), "it is read as it is: the folder may be one that cannot be written"
    (data / FILE).unlink()
    shutil.copytree(archive / UNPACKED, data / UNPACKED)
    shutil.rmtree(tmp_path / "cache")
    assert load_images("cifar10", 32).sha256 == packed.sha256


def test_a_broken_archive_beside_a_whole_folder_is_no_matter(archive: Path, tmp_path: Path) -> None:
    shutil.copytree(archive / UNPACKED, tmp_path / "data" / UNPACKED)
    (tmp_path / "data" / FILE).write_bytes(b"cut")
    assert len(load_images("cifar10", 32).train_y_N) == 40


def test_what_is_wrong_with_what_is_there_is_said(archive: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(archive / UNPACKED, data / UNPACKED)
    (data / UNPACKED / "data_batch_3").write_bytes(b"damaged")
    (data / UNPACKED / "test_batch").unlink()
    (data / FILE).write_bytes((archive / FILE).read_bytes()[:1000])
    (data / "cifar-10-binary.tar.gz").touch()
    with pytest.raises(ValueError, match=r"data = 'cifar10': download from .* failed") as refused:
        load_images("cifar10", 32)
    words = str(refused.value)
    assert f"in {data / UNPACKED} data_batch_3 is damaged, test_batch is missing" in words
    assert f"{data / FILE} is there and is not the archive: 1,000 bytes, cut short or something else" in words
    assert "cifar-10-binary.tar.gz is the version for another language" in words
    assert len(words.splitlines()) == 1


def write_parquet(
    path: Path, count: int, *, image: str = "img", label: str = "label", named: bool = True
) -> np.ndarray:
    rng = np.random.default_rng(count)
    pixels = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    rows = []
    for i, x_HWC in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(x_HWC).save(file, "PNG")
        rows.append({image: {"bytes": file.getvalue(), "path": None}, label: i % 3})
    table = pa.Table.from_pylist(rows)
    features = {label: {"names": ["ant", "bee", "cat"], "_type": "ClassLabel"}}
    if named:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return pixels


@pytest.mark.parametrize(("image", "label"), [("img", "label"), ("image", "fine_label"), ("picture", "category")])
def test_a_folder_of_parquet_is_taken(tmp_path: Path, image: str, label: str) -> None:
    pixels = write_parquet(tmp_path / "d" / "plain_text" / "train-00000-of-00002.parquet", 9, image=image, label=label)
    write_parquet(tmp_path / "d" / "plain_text" / "train-00001-of-00002.parquet", 5, image=image, label=label)
    write_parquet(tmp_path / "d" / "plain_text" / "test-00000-of-00001.parquet", 6, image=image, label=label)
    check_data(f"folder:{tmp_path / 'd'}")
    images = load_images(f"folder:{tmp_path / 'd'}", 32)
    assert (len(images.train_y_N), len(images.test_y_N)) == (14, 6)
    assert images.classes == ("ant", "bee", "cat")
    assert images.train_y_N.tolist()[:4] == [0, 1, 2, 0]
    assert np.array_equal(images.train_x_NCHW[0].numpy(), pixels[0].transpose(2, 0, 1))
    assert images.note is None


def test_the_hubs_other_layout_and_a_validation_set_are_taken_and_said(tmp_path: Path) -> None:
    write_parquet(tmp_path / "d" / "default" / "train" / "0000.parquet", 9, named=False)
    write_parquet(tmp_path / "d" / "default" / "validation" / "0000.parquet", 6, named=False)
    images = load_images(f"folder:{tmp_path / 'd'}", 16)
    assert images.classes == ("0", "1", "2")
    assert images.note == data_note(f"folder:{tmp_path / 'd'}") == f"{tmp_path / 'd'}: validation is the test set"


def test_cifar_10_as_parquet_is_taken_under_its_name(archive: Path, tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", 9)
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", 6)
    assert "is there, in" in state_of("cifar10")
    assert len(load_images("cifar10", 32).train_y_N) == 9


def test_foreign_parquet_in_a_folder_nobody_named_is_not_cifar(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DATA_DIR)
    monkeypatch.chdir(tmp_path)
    write_parquet(tmp_path / "data" / "mnist" / "train-00000-of-00001.parquet", 9)
    assert "will be downloaded" in state_of("cifar10")


FEW_LABELS = {"one class": 0, "far": 2**40, "unsigned": 2**64 - 1}
"""Fault -> the label of every row. A list of 2^40 names would take the machine's memory."""


def test_parquet_that_does_not_fit_is_said_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train-0.parquet", "test-0.parquet"):
        write_parquet(tmp_path / "d" / name, 3)
    monkeypatch.setattr(
        "ampbench.bench.train.images.image_parquet.decode_pixels", lambda *_: pytest.fail("it was decoded")
    )
    with pytest.raises(ValueError, match=r"6 images of 2000000x2000000 take .* GiB.*the data does not fit"):
        load_images(f"folder:{tmp_path / 'd'}", 2_000_000)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("damaged", r"train-0\.parquet: is damaged or no Parquet file"),
        ("no image", r"needs a column of images as bytes .*it holds a \(int64\)"),
        ("no label", r"needs a column of images as bytes .*it holds img \(struct<bytes"),
        ("bad rows", r"no readable image in row 1 of .*train-0\.parquet \(.*\); mend or remove these rows"),
        ("unlabelled", r"column label holds rows without a label"),
        ("no test", r"holds Parquet files of a training set and none of a test set"),
        ("empty", r"the files of the test set hold no rows"),
        ("one class", r"column label holds a single class"),
        ("far", r"column label holds numbers of 100,000 and more; labels are 0, 1, 2"),
        ("unsigned", r"column label holds numbers of 100,000 and more"),
    ],
)
def test_parquet_that_cannot_be_used_is_one_line(tmp_path: Path, how: str, said: str) -> None:
    train, test = tmp_path / "d" / "train-0.parquet", tmp_path / "d" / "test-0.parquet"
    write_parquet(train, 6)
    write_parquet(test, 3)
    table = pq.read_table(train)
    if how == "damaged":
        train.write_bytes(train.read_bytes()[:500])
    elif how == "no image":
        pq.write_table(pa.table({"a": [1, 2]}), train)
    elif how == "no label":
        pq.write_table(table.select(["img"]), train)
    elif how == "bad rows":
        rows = table.to_pylist()
        rows[1]["img"]["bytes"] = b"none"
        pq.write_table(pa.Table.from_pylist(rows), train)
    elif how == "unlabelled":
        pq.write_table(pa.Table.from_pylist([row | {"label": -1} for row in table.to_pylist()]), test)
    elif how == "empty":
        pq.write_table(table.slice(0, 0), test)
    elif how in FEW_LABELS:
        for path, length in ((train, 6), (test, 3)):
            labels = pa.array([FEW_LABELS[how]] * length, pa.uint64())
            pq.write_table(pa.table({"img": table["img"][:length], "label": labels}), path)
    else:
        test.unlink()
    with pytest.raises(ValueError, match=said) as refused:
        load_images(f"folder:{tmp_path / 'd'}", 32)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("inside", [False, True])
def test_a_folder_of_the_archive_says_how_to_name_it(archive: Path, inside: bool) -> None:
    folder = archive / UNPACKED if inside else archive
    with pytest.raises(RequestError, match=rf"write data = 'cifar10', and --data-dir {archive}$"):
        check_data(f"folder:{folder}")


def test_the_cache_names_its_place_and_what_to_do_when_it_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("/dev/null/x", "/proc/nowhere"):
        monkeypatch.setenv("AMPBENCH_CACHE", place)
        with pytest.raises(ValueError, match=rf"^{Path(place).parent}.*name another place with AMPBENCH_CACHE=DIR"):
            load_images("synthetic", 8)
