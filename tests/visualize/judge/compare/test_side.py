"""Sides that may be compared, and sides that are refused, left out or counted, always with a message."""

from __future__ import annotations

import json
import math
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.thinned import thinned
from tests.visualize.conftest import cell
from tests.visualize.judge.conftest import SEEDS, comparisons, only, refused


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"machine": "Other GPU"}, "machine Test GPU in A, Other GPU in B"),
        ({"torch": "2.16.0", "cuda": "13.0"}, "CUDA none in A, 13.0 in B; torch 2.15.0 in A, 2.16.0 in B"),
        *thinned(
            [({"cudnn": "9.9"}, "cuDNN none in A, 9.9 in B"), ({"driver": "580"}, "driver none in A, 580 in B")], kept=1
        ),
        ({"environment_id": "e2"}, "environment e1 in A, e2 in B"),
        ({"method_version": 0}, "method 1 in A, 0 in B"),
        ({"data_sha256": "f00"}, "data checksum none in A, f00 in B"),
    ],
)
def test_sides_that_were_not_measured_alike_are_refused(write, run, over, said):
    a, b = write("a"), write("b", 0.9, **over)
    assert f"A and B were not measured alike: {said}; measure both" in refused(run(a, b))


def test_cells_that_ran_alone_on_their_machine_are_not_measured_like_those_with_neighbours(write, run):
    a, b, unknown = write("a", exclusive=False), write("b", 0.9, exclusive=True), write("c")
    assert "not measured alike: exclusive False in A, True in B; measure both" in refused(run(a, b))
    assert run(a, unknown).exit_code == 0
    assert only(run(a, b, "--mixed", "--format", "json"))["paired"] is False


@pytest.mark.parametrize("form", thinned(["table", "md", "csv", "json"], kept=2))
def test_who_insists_is_reminded_in_every_format(write, run, form):
    done = run(write("a"), write("b", torch="2.16.0"), "--mixed", "--format", form)
    assert done.exit_code == 0
    assert "torch 2.15.0 in A, 2.16.0 in B" in done.stdout


def test_two_machines_are_never_paired(write, run):
    a, b = write("a"), write("b", 0.9, environment_id="e2", machine="Other GPU")
    row = only(run(a, b, "--mixed", "--format", "json"))
    assert (row["paired"], row["speed"]) == (False, "can't tell")


def test_one_folder_of_two_machines_is_refused(folder, run):
    for seed in SEEDS:
        for recipe, environment in (("fp32", "e1"), ("bf16", "e2")):
            folder.add(cell(recipe, seed=seed), environment_id=environment, machine=f"GPU {environment}")
    arguments = (folder.write(), "--a", "precision=fp32", "--b", "precision=bf16")
    assert "2 environments (GPU e1; GPU e2)" in refused(run(*arguments))
    assert run(*arguments, "--mixed").exit_code == 0


def test_nothing_in_common_is_said_with_what_differs_and_how_to_go_on(write, run, tmp_path):
    a, b = write("a", batch_sizes=(64, 128)), write("b", batch_sizes=(256,))
    said = refused(run(a, b))
    assert "nothing in A matches anything in B: the nearest differ in batch_size (64 in A, 256 in B)" in said
    assert said.endswith("--a batch_size=64 --b batch_size=256")
    assert run(a, b, "--a", "batch_size=64", "--b", "batch_size=256").exit_code == 0


def test_cells_without_a_counterpart_are_counted(write, run):
    done = run(write("a", batch_sizes=(64, 128)), write("b"), "--format", "json")
    assert only(done)["batch_size"] == "128"
    assert "1 of 2 of A match nothing on the other side: VGG19 cifar10 64 fp32." in json.loads(done.stdout)["notes"]


def test_a_setting_that_only_a_newer_file_has_is_no_reason_against_a_match(write, run):
    a, b = write("a"), write("b")
    table = pq.read_table(a / "cells.parquet")
    pq.write_table(table.drop_columns(["momentum"]), a / "cells.parquet")
    assert run(a, b).exit_code == 0


def test_a_side_that_lost_runs_is_named(folder, write, run):
    for seed in SEEDS:
        folder.add(cell(seed=seed), "ok" if seed else "diverged")
    done = run(write("a"), folder.write(), "--format", "json")
    row, notes = only(done), json.loads(done.stdout)["notes"]
    assert (row["n_a"], row["n_b"], row["num_cells_b"], row["status_b"]) == (5, 4, 5, "diverged")
    assert "B, not measured: fp32 at batch 128: diverged, loss was nan at step 7; first in features.0." in notes


def test_a_row_of_which_one_side_failed_is_kept_and_open(write, run, folder):
    for size, status in ((64, "ok"), (128, "crashed")):
        for seed in SEEDS:
            folder.add(cell("fp32", size, seed), status)
    done = run(write("a", batch_sizes=(64, 128)), folder.write(), "--format", "json", "--fail-on", "slower>50%")
    lost = next(r for r in comparisons(done) if r["batch_size"] == "128")
    assert (lost["n_b"], lost["ratio"], lost["speed"]) == (0, None, "can't tell")
    assert "batch 128 fp32 (no pair)" in done.stderr


def test_the_same_cells_on_both_sides_are_noted(write, run):
    path = write("a")
    done = run(path, path, "--format", "json")
    assert only(done)["speed"] == "same"
    assert "5 cells are on both sides; comparing a cell with itself shows nothing." in json.loads(done.stdout)["notes"]


def test_other_boards_of_one_product_are_noted(write, run):
    done = run(write("a"), write("b", board="GPU-2"), "--format", "json")
    assert any("1 of 1 compare different boards" in note for note in json.loads(done.stdout)["notes"])


@pytest.mark.parametrize("status", thinned(["crashed", "throttled", "oom"], kept=1))
def test_a_side_without_a_cell_that_ran_is_refused(write, run, status):
    said = refused(run(write("a"), write("b", status=status)))
    assert f"no cell ran to its end (fp32 at batch 128 (x5): {status}" in said


@pytest.mark.parametrize("speed", [math.nan, 0.0, math.inf])
def test_speeds_that_are_no_number_are_refused_or_counted(write, run, folder, speed):
    assert "no cell holds images/s above zero" in refused(run(write("a"), write("b", images_per_s=speed)))
    for seed in SEEDS:
        folder.add(cell(seed=seed), **({} if seed else {"images_per_s": speed}))
    done = run(write("c"), folder.write(), "--format", "json")
    assert "B: 1 cell that ran holds no images/s." in json.loads(done.stdout)["notes"]
    assert math.isfinite(only(done)["ratio"])


def test_a_file_that_is_none_of_ours_is_one_sentence(write, run, tmp_path):
    a, b = write("a"), write("b")
    assert "no such folder" in refused(run(a, tmp_path / "nowhere"))
    whole = pq.read_table(b / "cells.parquet")

    def spoiled(change):
        shutil.copytree(b, tmp_path / "spoiled", dirs_exist_ok=True)
        change(tmp_path / "spoiled" / "cells.parquet")
        return refused(run(a, tmp_path / "spoiled"))

    def with_column(name, values):
        place = whole.schema.get_field_index(name)
        return lambda path: pq.write_table(whole.set_column(place, name, values), path)

    assert "is damaged or not a Parquet file" in spoiled(lambda p: p.write_bytes(p.read_bytes()[:-100]))
    assert "lacks the column cell_id" in spoiled(lambda p: pq.write_table(pa.table({"x": [1]}), p))
    assert "by method 9, and this ampbench knows" in spoiled(with_column("method_version", pa.array([9] * 5)))
    assert "images_per_s holds string, not numbers" in spoiled(with_column("images_per_s", pa.array(["fast"] * 5)))
    assert "holds a cell twice" in spoiled(with_column("cell_id", pa.array(["one"] * 5)))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one folder is not a comparison; name a second one"),
        (["--a", "precision=fp32"], "one folder is not a comparison"),
        (["--a", "fp32", "--b", "bf16_amp"], "fp32: write key=value"),
        (["--a", "precison=fp32", "--b", "precision=bf16_amp"], "did you mean precision?"),
        (["--a", "precision=fp32", "--b", "precision=bf17"], "has precision bf17; name one of fp32, bf16_amp"),
        (["--a", "precision=fp32", "--b", "precision=bf16_amp", "--fail-on", "slow"], "write slower>2%"),
    ],
)
def test_a_wrong_request_names_the_next_move(matrix, run, arguments, said):
    assert said in refused(run(matrix(), *arguments))
