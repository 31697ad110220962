"""Every table leaves as a file from which the same numbers are read again."""

from __future__ import annotations

import io
import itertools
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from ampbench.visualize import export
from ampbench.visualize.show.exported import Exported, Form, write
from ampbench.visualize.show.exports import TABLES
from tests.support.thinned import thinned
from tests.visualize.conftest import Folder, cell, record

NASTY = r"a_b % c & d # e $ { } ~ ^ \ | <script> " '\n é 日本 "quoted"'


@pytest.fixture(scope="module")
def run():
    """Run the command in this process."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(export.main)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("results") / "x")
    for seed in range(2):
        for recipe in ("fp32", "bf16_amp"):
            folder.add(
                cell(recipe, seed=seed, epochs=2), **record(bound="memory", step_ms=1 / 3, matmul_conv_share=0.1)
            )
        folder.add(cell("fp16", seed=seed, epochs=2), "diverged", because=NASTY)
    return folder.write()


@pytest.mark.parametrize(("table", "form"), thinned(itertools.product(TABLES, Form), kept=24))
def test_every_table_has_every_form(results, run, table, form):
    done = run(results, "--table", table, "--format", form)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip()


@pytest.mark.parametrize(
    "table",
    thinned(["summary", "comparisons", "learned", "durations", "work", "cells", "epochs", "steps"], kept=4),
)
def test_csv_and_json_hold_the_same_numbers_to_the_last_digit(results, run, table):
    csv = pd.read_csv(io.StringIO(run(results, "--table", table).stdout), float_precision="round_trip")
    records = json.loads(run(results, "--table", table, "--format", "json").stdout)
    assert len(csv) == len(records)
    assert records
    kind = np.float32 if table == "steps" else float  # as they are stored
    for (_, row), one in zip(csv.iterrows(), records, strict=True):
        assert list(row.index) == list(one)
        for head, value in one.items():
            if isinstance(value, float | int) and not isinstance(value, bool):
                assert kind(row[head]) == kind(value), head
            elif value is None:
                assert pd.isna(row[head]), head


def test_an_export_holds_what_is_stored(results, run):
    csv = pd.read_csv(io.StringIO(run(results, "--table", "epochs").stdout), float_precision="round_trip")
    stored = pd.read_parquet(results / "epochs.parquet")
    assert list(csv["cell_id"]) == list(stored["cell_id"])
    assert list(csv["test_accuracy"]) == list(stored["test_accuracy"])
    assert "recipe" in csv, "what tells the cells apart stands beside it"


def test_units_stand_in_the_heads(results, run):
    heads = run(results, "--table", "summary").stdout.splitlines()[0]
    assert "images_per_s (images/s)" in heads
    assert "peak_mib (MiB)" in heads
    assert "train_s (s)" in run(results, "--table", "durations", "--format", "md").stdout.splitlines()[0]


def test_only_selects_and_out_writes_a_file_completely(results, run, tmp_path):
    out = tmp_path / "table.csv"
    done = run(results, "--only", "precision=fp32", "--out", out)
    assert done.stdout == f"{out}\n"
    assert set(pd.read_csv(out)["recipe"]) == {"fp32"}
    assert list(tmp_path.glob(".*partial")) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--table", "sumary"], "Did you mean 'summary'?"),
        (["--table", "xyz"], "Known: summary, answers"),
        (["--only", "batch=3"], "--only batch=3"),
        (["--out", "/proc/nowhere/x.csv"], "cannot be written"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(results, run, words, said):
    done = run(results, *words)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output
    assert said in done.stderr


def written(rows: pd.DataFrame, form: Form, tmp_path) -> str:
    write(Exported(rows=rows, units={"ratio_%": "a_b"}), form, tmp_path / "out")
    return (tmp_path / "out").read_text()


def test_no_sign_of_a_name_is_a_command_of_latex(tmp_path):
    text = written(pd.DataFrame({"ratio_%": [1.0], "name": [NASTY]}), Form.LATEX, tmp_path)
    head, row = (line for line in text.splitlines() if line.endswith("\\\\"))
    assert head == r"ratio\_\% (a\_b) & name \\"
    plain = re.sub(r"\\text[a-z]+\{\}|\\[%&_#${}]", "", row.removesuffix(r"\\").replace("1.000 & ", ""))
    assert not re.search(r"[\\%&_#${}~^]", plain), plain


def test_no_sign_of_a_name_ends_a_cell_of_markdown(tmp_path):
    text = written(pd.DataFrame({"name": [NASTY], "n": [3]}), Form.MD, tmp_path)
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()] == [3, 3, 3]
    assert "<script>" not in text


def test_what_is_unknown_is_null_or_empty_and_never_a_number(tmp_path):
    rows = pd.DataFrame({"x": [math.nan, math.inf, 1 / 3], "y": [None, "a", pd.NaT], "z": [True, None, False]})
    assert json.loads(written(rows, Form.JSON, tmp_path)) == [
        {"x": None, "y": None, "z": True}, {"x": None, "y": "a", "z": None}, {"x": 1 / 3, "y": None, "z": False},
    ]  # fmt: skip
    assert "| – | – | True |" in written(rows, Form.MD, tmp_path)
    assert "0.3333" in written(rows, Form.MD, tmp_path)


@pytest.mark.parametrize("form", Form)
def test_a_table_without_rows_has_its_heads(tmp_path, form):
    text = written(pd.DataFrame({"ratio_%": [], "b": []}), form, tmp_path)
    assert text == "[\n]\n" if form is Form.JSON else "b" in text


def test_pieces_of_a_large_table_are_one_table(tmp_path, monkeypatch):
    monkeypatch.setattr("ampbench.visualize.show.exported.ROWS_AT_ONCE", 3)
    rows = pd.DataFrame({"a": range(10)})
    assert list(pd.read_csv(io.StringIO(written(rows, Form.CSV, tmp_path)))["a"]) == list(range(10))
    assert [one["a"] for one in json.loads(written(rows, Form.JSON, tmp_path))] == list(range(10))
