"""Whatever a TOML file says: it is planned, and its plan can be written and read, or it is refused in one line."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.dry_run import outline
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment, read_experiment
from ampbench.bench.plan.field_check import FIELDS
from ampbench.bench.plan.matrix import make_plan, narrow
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.record import excluded_table, write_table
from tests.conftest import ROOT
from tests.fuzz.conftest import SEED, drawn

GOOD = {
    "model": ["LeNet", "ResNet18"],
    "data": ["digits", "synthetic"],
    "precision": list(RECIPES),
    "batch_size": [1, 64],
    "seed": [0, 2**63 - 1],
    "epochs": [0, 2],
    "optimizer": ["sgd", "adamw"],
    "learning_rate": [0.1, 1],
    "loss_scale": ["none", "static:1024", "dynamic:init=1024"],
    "augment": [[], ["flip", "cutout:4"]],
    "schedule": ["cosine", "warmup_multistep"],
    "milestones": [[1], [60, 120]],
    "num_threads": [1],
}
"""Values that some file could hold, so that plans come about."""

NUMBERS = st.sampled_from(
    [0, 1, -1, 2**31, 2**63, 2**64, 10**30, -0.0, 0.0, 1e-320, 1e308, math.inf, -math.inf, math.nan]
)
DATES = st.dates() | st.datetimes() | st.times()
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "static:²",
        "dynamic:init=nan",
        "cutout:1e999",
        "../../x",
        "a/b",
        "x" * 300,
        "folder:",
        "folder:\0",
        "hf:x",
    ]
)
SCALARS = NUMBERS | TEXTS | DATES | st.booleans() | st.integers() | st.floats()
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(TEXTS, v, max_size=3), max_leaves=8)


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + "}"
    return str(value) if isinstance(value, int) else json.dumps(value).replace("\x7f", "\\u007f")


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """An experiment that could be one, with up to three things put out of place."""
    free = draw(st.lists(st.sampled_from(sorted(GOOD)), unique=True, max_size=3))
    fixed = {key: draw(st.sampled_from(GOOD[key])) for key in (*GOOD,) if key not in free and draw(st.booleans())}
    needed = ("model", "data", "precision", "batch_size")
    fixed |= {key: GOOD[key][0] for key in needed if key not in (*free, *fixed)}
    matrix = {key: draw(st.lists(st.sampled_from(GOOD[key]), min_size=1, max_size=3)) for key in free}
    document: dict[str, Any] = {"question": "Does it end?", "fixed": fixed, "matrix": matrix}
    for _ in range(draw(st.integers(0, 3))):
        table = draw(st.sampled_from(["", "fixed", "matrix", "measure", "budget", "precision", "exclude", "include"]))
        names = st.sampled_from([*FIELDS, "target_ci", "rounds", "passes", "minutes_per_cell", "because", "question"])
        key = draw(names | TEXTS)
        value = draw(VALUES | st.lists(SCALARS, min_size=1, max_size=3))
        plain = draw(st.booleans())
        if table in ("exclude", "include"):
            document.setdefault(table, []).append({key: value} if plain else {"because": "no", key: value})
        elif table:
            own = document.setdefault(table, {})
            own[key] = value if plain or table != "precision" else {"compute": "bf16", "loss_scale": value}
        else:
            document[key] = value
    return document


def text_of(document: dict[str, Any]) -> str:
    return "\n".join(f"{toml(key)} = {toml(value)}" for key, value in document.items())


def judged(text: str, folder: Path) -> bool:
    """Whether a text is an experiment; fails unless it is either planned to the last step or refused in one line."""
    refusal = ""
    try:
        plan = make_plan(parse_experiment(folder / "x.toml", text))
        chosen = narrow(plan)
    except RequestError as e:
        refusal = str(e)
    if refusal:
        assert refusal.isprintable()
        assert len(refusal) < 2000
        return False
    for line in outline(plan, chosen, done=(), cell_s={}):
        line.encode()
    cells = [Cell.from_json(json.loads(json.dumps(cell.to_json()))) for cell in plan.cells]
    assert [cell.cell_id for cell in cells] == [cell.cell_id for cell in plan.cells]
    assert all(len(cell.run_folder.encode()) <= 255 and "/" not in cell.run_folder for cell in cells)
    where = Folder.of(plan, folder)
    where.write_plan(plan, command="fuzz", git_commit=None, git_dirty=None)
    rows = excluded_table([(cell, "left aside") for cell in cells])
    write_table(folder / "rows.parquet", rows)
    assert pq.read_metadata(folder / "rows.parquet").num_rows == len(cells)
    return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@seed(SEED)
@drawn(7_000, 60)
@given(document=documents())
def test_a_document_of_any_values_is_planned_or_refused_in_a_line(document: dict[str, Any], folder: Path) -> None:
    judged(text_of(document), folder)


OURS = sorted((ROOT / "experiments").glob("*.toml"))
SCRAPS = st.sampled_from(
    ["[", "]", "=", '"', "\n", "[[", "seed", "0", "inf", "nan", "'''", "\\", "#", "\t", "\x00", "é", ","]
)


@seed(SEED)
@drawn(3_000, 30)
@given(data=st.data())
def test_a_file_of_ours_with_scraps_in_it_is_planned_or_refused_in_a_line(data: st.DataObject, folder: Path) -> None:
    text = data.draw(st.sampled_from(OURS)).read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 4))):
        at, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 30))
        text = text[:at] + data.draw(SCRAPS | TEXTS) + text[at + length :]
    judged(text, folder)


def test_the_draws_hold_both_experiments_and_refusals(folder: Path) -> None:
    """Else the fuzzing would prove nothing."""
    found: list[bool] = []

    @seed(0)
    @drawn(100, 100)
    @given(document=documents())
    def draw(document: dict[str, Any]) -> None:
        found.append(judged(text_of(document), folder))

    draw()
    assert 10 <= sum(found) <= len(found) - 10


DEEP = ["[" * n + "]" * n for n in (300, 3_000, 100_000)] + ["{a=" * 500 + "1" + "}" * 500]
ODD = [
    *(
        f"seed = {value}"
        for value in ("18446744073709551616", "9" * 5000, "-1", "0x7fffffffffffffff", "2020-01-01", "1.0")
    ),
    *(f"seed = {value}" for value in DEEP),
    *(f"learning_rate = {value}" for value in ("inf", "nan", "-0.0", "1e400", "1" + "0" * 400, "true", "[]")),
    "batch_size = [[64]]",
    f"model = '{'x' * 1_000_000}'",
    f"augment = [{', '.join(['1'] * 100_000)}]",
    "a." * 3000 + "b = 1",
]


@pytest.mark.parametrize("line", ODD, ids=lambda line: line[:30])
@pytest.mark.parametrize("table", ["fixed", "matrix"])
def test_a_value_that_fits_toml_is_taken_or_refused_in_a_line(table: str, line: str, tmp_path: Path) -> None:
    fields = {"model": "LeNet", "data": "digits", "precision": "fp32", "batch_size": 64}
    kept = "\n".join(f"{key} = {toml(value)}" for key, value in fields.items() if not line.startswith(key))
    head = f'question = "?"\n[fixed]\n{kept}\n'
    judged(head + (line if table == "fixed" else f"[matrix]\n{line}"), tmp_path)


def test_a_mark_at_the_start_of_the_file_is_passed_over(tmp_path: Path) -> None:
    text = (ROOT / "experiments" / "demo.toml").read_text(encoding="utf-8")
    path = tmp_path / "demo.toml"
    path.write_text(text, encoding="utf-8-sig", newline="\r\n")
    assert read_experiment(path).fixed == read_experiment(ROOT / "experiments" / "demo.toml").fixed
    path.write_text(text, encoding="utf-16")
    with pytest.raises(RequestError, match=r"is UTF-16; save it as UTF-8"):
        read_experiment(path)


@pytest.mark.parametrize("name", ["a/b", "../../x", "x" * 61, "", "a b", "é", "a\\nb"])
def test_a_recipes_name_is_held_to_what_a_folder_takes(name: str, tmp_path: Path) -> None:
    text = 'question = "?"\n[fixed]\nmodel = "LeNet"\ndata = "digits"\nbatch_size = 4\nprecision = "fp32"\n'
    text += f'[precision."{name}"]\ncompute = "bf16"\n'
    with pytest.raises(
        RequestError, match=r"is no name for a recipe: use 1 to 60 of the letters a-z, A-Z, digits and _"
    ):
        parse_experiment(tmp_path / "x.toml", text)
    kept = text.replace(f'"{name}"', '"mine_2.0+x-y"' if name else '"mine"')
    assert parse_experiment(tmp_path / "x.toml", kept).fixed["batch_size"] == 4


@pytest.mark.parametrize("stem", [".", "..", "taken"])
def test_an_experiment_whose_name_is_no_folder_is_refused(stem: str, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "taken").touch()
    text = (ROOT / "experiments" / "demo.toml").read_text(encoding="utf-8")
    plan = make_plan(parse_experiment(tmp_path / f"{stem}.toml", text))
    assert plan.experiment.name == stem
    with pytest.raises(RequestError, match=r"rename the experiment file"):
        Folder.of(plan, tmp_path / "results")
