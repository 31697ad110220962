"""Whatever befell a folder of results: the runs that are whole are joined and reported, and the rest is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import damaged_files, join, joined_rows, why_not_whole
from ampbench.bench.store.record import write_run
from ampbench.bench.store.run import Run
from ampbench.bench.store.tables import TABLES
from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.compare import comparison, side
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict import verdict
from ampbench.visualize.read import frame
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.read.notes import notes
from ampbench.visualize.show.summary_text import summary_text
from tests.conftest import ROOT
from tests.fuzz.conftest import SEED, drawn
from tests.support.measuring import record_of, traces_of
from tests.support.results import plan_of

PLAN = plan_of()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results whose runs are all whole."""
    folder = Folder(path=tmp_path_factory.mktemp("sound") / "trial")
    for cell in PLAN.cells:
        folder.run_path(cell).mkdir(parents=True)
        steps = [{"step": i, "epoch": 1, "loss": 2.0, "num_images": 32} for i in range(3)]
        blocks = [{"block": 1, "epoch": 1, "images_per_s": 100.0, "steady": True}]
        row = {
            "status": "ok",
            "cell_s": 3.0,
            "images_per_s": 100.0,
            "environment_id": "e",
            "machine": "m",
            "torch": "2",
        }
        row |= {"method_version": 1, "steady_peak_bytes": 2**20, "memory_instrument": "rss", "num_test_images": 100}
        write_run(folder.run_path(cell), cell, record_of(row), traces_of({"steps": steps, "blocks": blocks}))
    folder.write_plan(PLAN, command="x", git_commit=None, git_dirty=None)
    join(PLAN, folder)
    return folder.path


WAYS = ("bytes", "cut", "gone", "empty", "text", "other file", "other table")


def damage(data: st.DataObject, path: Path, others: list[Path]) -> None:
    content = bytearray(path.read_bytes())
    how = data.draw(st.sampled_from(WAYS))
    if how == "bytes" and content:
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(content) - 1) | st.integers(max(0, len(content) - 300), len(content) - 1))
            content[at] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
    elif how == "cut":
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    elif how == "gone":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text(
            data.draw(st.sampled_from(["{", "[]", "null", '{"cells": 3, "damaged": []}', "PAR1", "\n", "[" * 100_000]))
        )
    elif how == "other file":
        path.write_bytes(data.draw(st.sampled_from(others)).read_bytes())
    else:
        pq.write_table(pa.table({"cell_id": [data.draw(st.integers()) % 2**40], "step": ["a"]}), path)


def spoiled(data: st.DataObject, sound: Path, root: Path, pattern: str) -> Path:
    """A copy of a folder in which one to three files are damaged."""
    copy = root / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(sound, copy)
    files = sorted(path for path in copy.rglob(pattern) if path.is_file() and path.name != ".lock")
    chosen = data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=3, unique=True))
    for path in chosen:
        damage(data, path, [other for other in files if other not in chosen])
    return copy


@seed(SEED)
@drawn(1_000, 20)
@given(data=st.data())
def test_what_is_whole_is_joined_and_what_is_not_is_named(
    data: st.DataObject, sound: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = Folder(path=spoiled(data, sound, tmp_path_factory.getbasetemp(), "*"))
    join(PLAN, folder)
    assert why_not_whole(folder) is None
    named = {f"runs/{cell.run_folder}/{name}.parquet" for cell in PLAN.cells for name in ("record", *TABLES)}
    assert set(damaged_files(folder)) <= named
    done = folder.done(PLAN.cells)
    ids = {row["cell_id"] for row in joined_rows(folder, ["cell_id", "status"]) if row["status"] != "excluded"}
    assert ids == set(done)
    assert not join(PLAN, folder), "and that is the end of it"


def told(folder: Path) -> str:
    """What the report's text and a comparison say of a folder; the one line of a refusal."""
    try:
        results = frame.read(folder, mixed=True)
        verdicts = verdict.judge(results.cells)
        rows = standings(results, verdicts)
        text = summary_text(results, rows, answers(results, rows))
        sides = [side.choose(name, results, [f"precision={p}"]) for name, p in (("A", "fp32"), ("B", "bf16_amp"))]
        comparison.compare(*sides, mixed=True)
        text += "\n".join(notes(results))
    except ResultsError as e:
        assert len(str(e).splitlines()) == 1  # noqa: PT017  # a refusal is as good as a text
        return str(e)
    return text


@seed(SEED)
@drawn(1_000, 12)
@given(data=st.data())
def test_a_damaged_folder_is_reported_or_refused_in_one_line(
    data: st.DataObject, sound: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = data.draw(st.sampled_from([sound, ROOT / "results" / "demo"]))
    assert told(spoiled(data, source, tmp_path_factory.getbasetemp(), "*.*"))


@pytest.mark.parametrize("text", ['{"cells": 3}', "[" * 100_000, '{"cells": {"a": 1}, "question": []}'])
def test_a_plan_of_something_else_is_written_again(sound: Path, tmp_path: Path, text: str) -> None:
    folder = Folder(path=Path(shutil.copytree(sound, tmp_path / "trial")))
    (folder.path / "plan.json").write_text(text)
    assert told(folder.path)
    assert folder.said_source() is None
    (folder.path / ".joined.json").write_text(text)
    assert join(PLAN, folder)


@pytest.mark.parametrize("content", [b"", b"[1]", b"3", b"\xff\0", b"[" * 100_000, b'{"cell": 3}', b'{"cell": [[]]}'])
def test_a_cell_json_of_something_else_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cell.json").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"no cell\.json that this version can read \(.*\); start it by run_matrix\.py"
    ):
        Run.load(tmp_path)


def test_a_sound_folder_is_reported(sound: Path) -> None:
    assert told(sound).startswith("LeNet on m: stay with fp32; ")
    assert json.loads((sound / ".joined.json").read_text())["damaged"] == {}
