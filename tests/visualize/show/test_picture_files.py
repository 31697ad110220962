"""The folder of figures holds the pictures of the present results, and whatever others put there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ampbench.visualize.show.picture_files import MANIFEST, save
from ampbench.visualize.show.pictures import Picture


def picture(stem: str, svg: bytes = b"<svg/>") -> Picture:
    return Picture(stem=stem, title="", caption="", words="", note="", png=b"png", svg=svg, key=False)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {MANIFEST}


def test_a_picture_of_an_older_plan_goes_and_a_file_of_someone_else_stays(tmp_path: Path) -> None:
    save([picture("throughput-a"), picture("memory-a")], tmp_path)
    (tmp_path / "throughput-mine.png").write_bytes(b"mine")
    save([picture("throughput-b"), picture("memory-a", svg=b"")], tmp_path)
    assert names(tmp_path) == {"throughput-b.png", "throughput-b.svg", "memory-a.png", "throughput-mine.png"}
    assert (tmp_path / MANIFEST).read_text().split() == ["memory-a.png", "throughput-b.png", "throughput-b.svg"]


def test_pictures_from_before_there_was_a_manifest_are_known_by_name(tmp_path: Path) -> None:
    for name in ("throughput-VGG19.png", "accuracy.png", "holiday.png", "throughput.txt"):
        (tmp_path / name).write_bytes(b"")
    save([picture("throughput", svg=b"")], tmp_path)
    assert names(tmp_path) == {"throughput.png", "holiday.png", "throughput.txt"}


@pytest.mark.parametrize("line", ["../outside.png", "/etc/hostname", ""])
def test_a_manifest_deletes_nothing_outside_its_folder(tmp_path: Path, line: str) -> None:
    (tmp_path / "outside.png").write_bytes(b"")
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / MANIFEST).write_text(line + "\n")
    save([], folder)
    assert (tmp_path / "outside.png").exists()


def test_an_interrupted_writing_leaves_a_manifest_of_old_and_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save([picture("old")], tmp_path)
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == "new.svg":
            raise OSError("disk full")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        save([picture("new")], tmp_path)
    monkeypatch.undo()
    assert not list(tmp_path.glob(".*partial"))
    save([picture("newer")], tmp_path)
    assert names(tmp_path) == {"newer.png", "newer.svg"}
