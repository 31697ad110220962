"""Folders of images as people have them: odd files between them, odd names, and the words of their splits."""

from __future__ import annotations

import io
import os
import shutil
import socket
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from ampbench.bench.plan.dry_run import outline
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.image_formats import readable_suffixes
from ampbench.bench.plan.image_listing import list_folder
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.source import check_data, folder_path
from ampbench.bench.train.images.images import load_images
from tests.bench.train.images.test_images import make_folder

RED, SIZE = (200, 30, 10), 8


def red(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (SIZE, SIZE), RED)
    return image.quantize(2) if mode == "P" else image.convert(mode)


def saved(image: Image.Image, kind: str, **settings: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    file.seek(0)
    return file


def test_a_folder_of_mixed_suffixes_loses_no_image(tmp_path: Path) -> None:
    """3 png, 4 gif, 4 jfif, 4 avif made 3 images once."""
    folder = make_folder(tmp_path / "data")
    ant = folder / "train" / "ant"
    names = [*(f"g{i}.gif" for i in range(4)), *(f"j{i}.jfif" for i in range(4)), "UP.JPG", "x.JPEG", "y.apng", "z.dib"]
    names += [f"a{i}.avif" for i in range(4)] if ".avif" in readable_suffixes() else []
    for name in names:
        kind = Image.registered_extensions()[Path(name).suffix.lower()]
        (ant / name).write_bytes(saved(red(), kind).getvalue())
    (ant / "without_suffix").write_bytes(saved(red(), "PNG").getvalue())
    (ant / "odd.suffix").write_bytes(saved(red(), "JPEG").getvalue())
    (ant / "misnamed.png").write_bytes(saved(red(), "WEBP").getvalue())
    images = load_images(f"folder:{folder}", SIZE)
    assert int((images.train_y_N == 0).sum()) == 6 + len(names) + 3
    assert (images.num_left_out, images.note) == (0, None)


def test_what_is_left_out_is_counted_with_the_reason(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    ant = folder / "train" / "ant"
    for name in ("a.heic", "b.heic", "notes.txt", "vector.svg"):
        (ant / name).write_bytes(b"\x00\x00\x00\x18ftypheic no image")
    (folder / "test" / "loose.png").write_bytes(saved(red(), "PNG").getvalue())
    images = load_images(f"folder:{folder}", SIZE)
    assert images.num_left_out == 5
    assert images.note is not None
    assert (
        "5 of 23 files are left out: 2 .heic (no image that Pillow reads here; pip install pillow-heif)" in images.note
    )
    assert "1 .txt" in images.note
    assert "1 in no class folder" in images.note


def test_pipes_and_sockets_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "data")
    os.mkfifo(folder / "train" / "ant" / "pipe.png")
    monkeypatch.chdir(folder / "train" / "ant")  # a socket's path has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind("socket.png")
        images = load_images(f"folder:{folder}", SIZE)
    assert len(images.train_y_N) == 12
    assert images.num_left_out == 2
    assert "2 no files (a pipe, a socket or a device)" in str(images.note)


def test_litter_of_a_desktop_decodes_nothing_again(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    before = list_folder(folder).digest
    ant = folder / "train" / "ant"
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._0.png"):
        (ant / name).write_bytes(b"litter")
        (folder / name).write_bytes(b"litter")
    (ant / ".ipynb_checkpoints").mkdir()
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    (ant / "notes.txt").write_text("new")
    after = list_folder(folder)
    assert after.digest == before
    assert after.train.classes == ("ant", "bee")
    assert after.left_out == {".txt (no image that Pillow reads here)": 1}
    (ant / "0.png").write_bytes(saved(red(), "PNG").getvalue())
    assert list_folder(folder).digest != before


def test_names_in_two_normal_forms_are_one_class(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    name = "éléphant"
    (folder / "train" / "ant").rename(folder / "train" / unicodedata.normalize("NFC", name))
    (folder / "test" / "ant").rename(folder / "test" / unicodedata.normalize("NFD", name))
    assert load_images(f"folder:{folder}", SIZE).classes == ("bee", unicodedata.normalize("NFC", name))
    twin = folder / "train" / unicodedata.normalize("NFD", name)
    twin.mkdir()
    with pytest.raises(RequestError, match=r"two folders are both called éléphant .*move the images into one"):
        list_folder(folder)


def test_a_path_in_the_other_normal_form_is_found(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / unicodedata.normalize("NFD", "données") / "x")
    typed = str(tmp_path / unicodedata.normalize("NFC", "données") / "x")
    assert folder_path(typed) == folder
    check_data(f"folder:{typed}")


@pytest.mark.parametrize("name", ["val", "validation", "valid", "Test", "testing"])
def test_val_beside_train_is_the_test_set_and_said(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path / "data")
    (folder / "test").rename(folder / name)
    check_data(f"folder:{folder}")
    images = load_images(f"folder:{folder}", SIZE)
    assert len(images.test_y_N) == 6
    said = f"{folder}: {name}/ is the test set" if name.startswith("val") else None
    assert images.note == said


def test_test_wins_over_val_unless_it_has_no_labels(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    make_folder(tmp_path / "more")
    (tmp_path / "more" / "test" / "ant" / "9.png").write_bytes(saved(red(), "PNG").getvalue())
    (tmp_path / "more" / "test").rename(folder / "val")
    listed = list_folder(folder)
    assert (listed.test.folder.name, len(listed.test.paths)) == ("test", 6)
    assert listed.note == f"{folder}: test/ is the test set; val/ is not used"
    for path in list((folder / "test").rglob("*.png")):
        path.rename(folder / "test" / f"{path.parent.name}{path.name}")
    for kind in ("ant", "bee"):
        (folder / "test" / kind).rmdir()
    listed = list_folder(folder)
    assert (listed.test.folder.name, len(listed.test.paths)) == ("val", 7)
    assert listed.note == f"{folder}: val/ is the test set (test/ holds no folders of classes)"


def test_a_link_that_leads_back_up_ends_somewhere(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    (folder / "train" / "ant" / "loop").symlink_to(folder / "train" / "ant")
    (folder / "train" / "ant" / "self").symlink_to(folder / "train" / "ant" / "self")
    assert len(list_folder(folder).train.paths) == 12


def test_a_link_that_leads_to_the_classes_brings_none_of_their_images(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    before = list_folder(folder)
    for up in ("..", "../..", str(tmp_path)):
        (folder / "train" / "ant" / "up").symlink_to(up)
        assert list_folder(folder).train == before.train
        (folder / "train" / "ant" / "up").unlink()


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    """Which one came first was the disk's choice."""
    folder = make_folder(tmp_path / "data")
    (folder / "Train" / "ant").mkdir(parents=True)
    with pytest.raises(RequestError, match="Train and train are both called train; move the images into one"):
        list_folder(folder)


def test_a_test_set_that_is_the_training_set_is_said(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    shutil.rmtree(folder / "test")
    (folder / "test").symlink_to("train")
    assert list_folder(folder).note == f"{folder}: test/ is train/ itself, so no test accuracy is one"


@pytest.mark.parametrize("where", ["x" * 5000, "a\0b", "~nobody-of-this-name/x"])
def test_a_path_that_no_disk_holds_is_one_line(where: str) -> None:
    with pytest.raises(RequestError, match=r"no folder|write the whole path"):
        check_data(f"folder:{where}")


def test_a_folder_whose_name_no_table_can_hold_is_one_line(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "b\udcfe")
    with pytest.raises(RequestError, match="is not UTF-8, which tables of results are; rename the folder"):
        check_data(f"folder:{folder}")


def test_the_plan_says_what_is_left_out(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data")
    (folder / "test").rename(folder / "val")
    (folder / "train" / "ant" / "list.csv").write_text("a,b")
    text = f'question = "?"\n[fixed]\nmodel = "LeNet"\ndata = "folder:{folder}"\nprecision = "fp32"\nbatch_size = 4\n'
    plan = make_plan(parse_experiment(tmp_path / "x.toml", text))
    lines = list(outline(plan, plan.cells, done=(), cell_s={}))
    [note] = [line for line in lines if line.startswith("Data")]
    assert note.endswith("val/ is the test set; 1 of 19 files are left out: 1 .csv (no image that Pillow reads here).")
