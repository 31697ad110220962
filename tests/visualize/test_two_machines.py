"""Every command reads a folder of two machines without leave, and none of them pools what the machines measured."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from ampbench.visualize import compare, explain, export, report
from ampbench.visualize.findings.failures import explanations
from ampbench.visualize.judge.answer.undecided import undecided
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.looks import Looks, read_looks
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.read.frame import read
from ampbench.visualize.show.again import commands
from tests.visualize.conftest import Folder, cell

ON = ({}, {"environment_id": "e2", "machine": "Other GPU"})
RATIOS = (1.0, 1.8)


def two_machines(folder: Folder, seeds: int = 4) -> Path:
    """Write groups in turn on each machine; bf16_amp is faster on the second only."""
    for seed in range(seeds):
        for number in range(2):
            for recipe, times in (("fp32", 1.0), ("bf16_amp", RATIOS[seed % 2])):
                speed = 1000.0 * times * (1 + seed % 2) + 0.5 * (seed + number)
                made = cell(recipe, seed=seed, epochs=0, round=number)
                folder.add(made, **{"images_per_s": speed, "step_ms": 128_000 / speed} | ON[seed % 2])
    return planned(folder)


def planned(folder: Folder) -> Path:
    """Write the folder with the plan of all its cells."""
    names = ("cell_id", *cell().settings)
    cells = [{name: row[name] for name in names} for row in folder.rows["cells"]]
    folder.plan = {"source": "experiments/x.toml", "toml": "", "cells": cells, "question": "Q?"}
    return folder.write()


def run(main: object, *words: object) -> tuple[int, str]:
    """Return the exit code of a command and what it wrote."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)  # type: ignore[type-var]
    done = CliRunner(env={"COLUMNS": "160"}).invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


def test_a_report_answers_by_machine_and_a_file_that_would_settle_names_its_machine(folder: Folder) -> None:
    path = two_machines(folder)
    code, said = run(report.main, path, "--words-only")
    assert code == 0
    assert said.startswith("2 machines: Test GPU (8 cells) and Other GPU (8 cells). Each is answered by itself")
    text = (path / "summary.txt").read_text()
    assert "Measured on Test GPU (8 cells) and Other GPU (8 cells)" in text
    assert "for all comparisons of one machine together" not in text  # there is one of each
    (settle,) = path.glob("settle*.toml")
    assert "to settle accuracy within 0.3 points on Other GPU." in settle.read_text()


def test_a_file_that_would_settle_the_question_of_one_machine_goes_when_a_second_joins(tmp_path: Path) -> None:
    path = tmp_path / "x"
    alone = Folder(path)
    for number in range(3):
        for recipe, speed in (("fp32", 1000.0), ("bf16_amp", 1800.0)):
            alone.add(cell(recipe, epochs=0, round=number), images_per_s=speed + number)
    planned(alone)
    report.write_report(path, words_only=True)
    assert (path / "settle.toml").exists()
    two_machines(Folder(path))
    report.write_report(path, words_only=True)
    assert not (path / "settle.toml").exists()


def test_a_comparison_has_a_row_for_each_machine(folder: Folder) -> None:
    path = two_machines(folder)
    code, said = run(compare.main, path, "--a", "precision=fp32", "--b", "precision=bf16_amp", "--format", "json")
    assert code == 0
    rows = {row["machine"]: row for row in json.loads(said)["comparisons"]}
    assert {name: round(row["ratio"], 2) for name, row in rows.items()} == {"Test GPU": 1.0, "Other GPU": 1.8}
    assert all(row["n_a"] == 4 for row in rows.values())
    assert len({row["family"] for row in rows.values()}) == 2


def test_of_two_folders_what_ran_on_one_machine_is_compared(tmp_path: Path) -> None:
    before, after = two_machines(Folder(tmp_path / "a")), Folder(tmp_path / "b")
    for seed in (1, 3):
        for number in range(2):
            made = cell("fp32", seed=seed, epochs=0, round=number)
            after.add(made, images_per_s=1800.0 + 0.5 * (seed + number), **ON[1])
    code, said = run(compare.main, before, planned(after), "--format", "json")
    assert code == 0
    (row,) = json.loads(said)["comparisons"]
    assert (round(row["ratio"], 2), row["n_a"], row["n_b"]) == (0.9, 4, 4)
    assert "Measured on Test GPU, Other GPU; only cells of one are compared." in json.loads(said)["notes"]


def test_explanations_and_tables_are_by_machine(folder: Folder) -> None:
    path = two_machines(folder)
    code, said = run(explain.main, path)
    assert code == 0
    assert "VGG19 on Test GPU at batch 128" in said
    assert "bf16_amp is 1.00x as fast as fp32" in said
    assert "bf16_amp is 1.80x as fast as fp32" in said
    code, said = run(export.main, path, "--table", "answers", "--format", "json")
    assert [row["machine"] for row in json.loads(said)] == ["Test GPU", "Other GPU"]
    assert all("do not count here" in row["machines"] for row in json.loads(said))


def test_cells_of_a_machine_can_be_selected_and_keep_their_names(folder: Folder) -> None:
    path = two_machines(folder)
    only = read(path, only=["machine=Other GPU"])
    assert only.subjects == ["VGG19 on Other GPU"]
    code, said = run(export.main, path, "--only", "machine=Third GPU")
    assert (code, "machine is Test GPU, Other GPU here" in said) == (2, True)


def test_a_further_round_is_asked_of_the_machine_where_it_is_open(folder: Folder) -> None:
    for seed in range(2):
        for number, apart in enumerate((0.9, 1.25)):
            for recipe, times in (("fp32", 1.0), ("bf16_amp", 1.8 if seed else apart)):
                speed = 1000.0 * times + number
                folder.add(cell(recipe, seed=seed, epochs=0, round=number), images_per_s=speed, **ON[seed])
    results = read(folder.write())
    found = {one.subject: one for one in undecided(results, standings(results, verdicts_of(results)))}
    assert not found["VGG19 on Other GPU"].contenders
    (ids,) = found["VGG19 on Test GPU"].contenders
    here = results.cells[results.cells["cell_id"].isin(ids)]
    assert set(here["machine"]) == {"Test GPU"}


def test_looks_that_were_taken_before_a_second_machine_joined_still_count() -> None:
    taken = Looks(taken={"VGG19, batch 128, bf16_amp against fp32": frozenset({2, 3})})
    assert taken.num("VGG19 in environment e1, batch 128, bf16_amp against fp32", 4) == 3
    assert taken.num("VGG19 in environment e1, batch 64, bf16_amp against fp32", 4) == 1


def test_the_name_of_a_look_does_not_depend_on_the_names_of_machines(folder: Folder) -> None:
    path = two_machines(folder)
    report.write_report(path, words_only=True)
    assert set(read_looks(path).taken) == {
        f"VGG19 in environment {one}, batch 128, bf16_amp against fp32" for one in ("e1", "e2")
    }


def test_the_command_of_a_row_runs_the_seeds_of_its_machine(folder: Folder) -> None:
    results = read(two_machines(folder))
    rows = standings(results, verdicts_of(results))
    said = dict(zip([(row.subject, row.recipe) for row in rows], commands(results, rows), strict=True))
    assert "--only seed=0,2 " in said["VGG19 on Test GPU", "fp32"]
    assert "--only seed=1,3 " in said["VGG19 on Other GPU", "fp32"]


def test_a_rate_that_only_another_machine_bears_is_not_explained_by_noise(folder: Folder) -> None:
    known = {"num_classes": 10, "weights_dtype": "fp32", "update": "nearest"}
    for batch_size, accuracy, on in ((8, 0.1, ON[0]), (16, 0.9, ON[1])):
        folder.add(cell("fp32", batch_size), **known | {"test_accuracy": accuracy} | on)
    assert explanations(read(folder.write())) == []


def test_what_was_excluded_as_a_whole_is_shown_once(folder: Folder) -> None:
    for recipe in ("fp32", "bf16_amp"):
        folder.add(cell(recipe, 1024, epochs=0), "excluded")
    results = read(two_machines(folder))
    assert sorted(results.subjects) == ["VGG19 on Other GPU", "VGG19 on Test GPU"]


XEON = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz ({}), 2 cores"


def test_a_long_name_of_a_cpu_is_shortened_as_long_as_it_is_the_only_one(folder: Folder) -> None:
    folder.add(cell("fp32", seed=0, epochs=0), machine=XEON.format("amx_bf16 avx512_bf16"))
    other = "AMD EPYC 7B13 64-Core Processor, 2 cores"
    folder.add(cell("fp32", seed=1, epochs=0), environment_id="e2", machine=other)
    path = folder.write()
    assert read(path).subjects == [
        "VGG19 on Intel Xeon Platinum 8481C, 2 cores", "VGG19 on AMD EPYC 7B13 64-Core, 2 cores",
    ]  # fmt: skip
    folder.add(cell("fp32", seed=2, epochs=0), environment_id="e3", machine=XEON.format("avx512_bf16"))
    assert f"VGG19 on {XEON.format('avx512_bf16')}" in read(folder.write()).subjects


def test_a_failure_before_an_update_of_the_machine_makes_no_second_machine(folder: Folder) -> None:
    folder.add(cell("fp32", epochs=0))
    folder.add(cell("bf16", 512, epochs=0), "oom", environment_id="e0", torch="2.14.0")
    assert read(folder.write()).subjects == ["VGG19"]


@pytest.mark.parametrize(("objective", "is_refused"), [("images_per_s", True), ("test_accuracy", False)])
def test_trials_of_two_machines_are_ranked_only_by_what_no_machine_changes(
    objective: str, is_refused: bool, folder: Folder
) -> None:
    path = two_machines(folder, seeds=2)
    ids = pq.read_table(path / "cells.parquet", columns=["cell_id"])["cell_id"].to_pylist()
    trials = [
        {"study": "", "number": i, "values": {"momentum": 0.9}, "cell_id": one, "reruns": []}
        for i, one in enumerate(ids)
    ]
    said = {"objective": objective, "greater_is_better": True, "num_trials": len(ids), "trials": trials}
    (path / "search.json").write_text(
        json.dumps(said | {"space": [{"field": "momentum", "low": 0.1, "high": 0.99, "choices": []}]})
    )
    code, words = run(export.main, path, "--table", "trials")
    assert (code == 2 and "2 environments (Test GPU; Other GPU)" in words) == is_refused, words
