"""The comparison of two sides whose truth is known: verdicts, gates, refusals, and the words of each."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
import typer
from typer.testing import CliRunner

from ampbench.visualize import compare
from ampbench.visualize.judge import gate
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.stats import effect
from ampbench.visualize.stats.statistics import judge_ratio
from tests.visualize.conftest import Folder, cell

SEEDS = range(5)


@pytest.fixture
def run(monkeypatch):
    """Run the command in this process, as wide as where there is no terminal."""
    monkeypatch.setenv("COLUMNS", str(compare.WIDTH))
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(compare.main)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def write(tmp_path):
    """Write a folder of fp32 (or other) cells whose speeds, and whatever else, follow from a factor and a seed."""

    def write(name, factor=1.0, seeds=SEEDS, recipes=("fp32",), noise=0.01, status="ok", batch_sizes=(128,), **over):
        made = Folder(tmp_path / name)
        rng = np.random.default_rng(sum(name.encode()))
        for seed, size, recipe in itertools.product(seeds, batch_sizes, recipes):
            speed = 1000 * (1 + 0.2 * seed) * factor * math.exp(noise * rng.standard_normal())
            epochs = over.pop("epochs", 20)
            made.add(cell(recipe, size, seed, epochs=epochs), status, **({"images_per_s": speed} | over))
            over["epochs"] = epochs
        return made.write()

    return write


def comparisons(done):
    """Return the rows of a JSON answer."""
    return json.loads(done.stdout)["comparisons"]


def only(done):
    """Return the one row of a JSON answer that ended well."""
    (row,) = comparisons(done)
    return row


def refused(done):
    """Return the sentence of a request that was refused, as such."""
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_a_repetition_is_same_or_cannot_be_told(write, run):
    for noise, verdict in ((0.0005, "same"), (0.1, "can't tell")):
        a, b = (write(f"{name}{noise}", noise=noise) for name in "ab")
        done = run(a, b, "--format", "json", "--fail-on", "slower>2%")
        assert (done.exit_code, only(done)["speed"]) == (0, verdict)
        assert only(done)["ratio_low"] < 1 < only(done)["ratio_high"]
        assert ("can't tell" in done.stderr) == (verdict == "can't tell"), done.stdout


def test_a_tenth_slower_is_slower_and_fails_the_build(write, run):
    a, b = write("a"), write("b", 0.9)
    done = run(a, b, "--format", "json", "--fail-on", "slower>2%")
    assert (done.exit_code, only(done)["speed"]) == (1, "slower")
    assert only(done)["ratio"] == pytest.approx(0.9, rel=0.02)
    assert "--fail-on slower>2%: established for VGG19 cifar10 batch 128 fp32 (0.9" in done.stderr
    assert run(a, b, "--fail-on", "slower>20%").exit_code == 0
    back = run(b, a, "--format", "json", "--fail-on", "slower>2%")
    assert (back.exit_code, only(back)["speed"]) == (0, "faster")
    assert back.stderr == ""


def test_what_the_interval_leaves_open_fails_nothing_and_is_said(write, run):
    done = run(write("a", noise=0.3), write("b", 0.9, noise=0.3), "--fail-on", "slower>2%")
    assert done.exit_code == 0
    assert "--fail-on slower>2%: can't tell, so no failure, for VGG19" in done.stderr


def test_pairs_by_seed_see_what_the_spread_between_seeds_hides(write, run):
    a, b = write("a"), write("b", 0.9)
    paired = only(run(a, b, "--format", "json"))
    assert (paired["paired"], paired["speed"]) == (True, "slower")
    apart = only(run(a, write("c", 0.9, seeds=range(5, 10)), "--format", "json"))
    assert (apart["paired"], apart["n_a"], apart["n_b"]) == (False, 5, 5)
    assert apart["ratio_high"] - apart["ratio_low"] > 3 * (paired["ratio_high"] - paired["ratio_low"])
    assert apart["points"] is not None  # the means differ by so much, and no seeds pair up to tell
    assert apart["accuracy"] is None


def test_welch_is_scipys():
    a, b = [0.10, 0.14, 0.12], [0.09, 0.25, 0.31, 0.11, 0.40]
    found, expected = effect.unpaired(a, b), scipy.stats.ttest_ind(b, a, equal_var=False)
    assert found.p_difference == pytest.approx(expected.pvalue)
    assert found.interval(0.05) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert math.isnan(effect.unpaired([0.1], b).p_difference)
    assert effect.unpaired([0.1, 0.1], [0.1, 0.1]).p_difference == 1


def test_unpaired_intervals_cover_the_truth_and_find_what_they_call_detectable():
    rng, sample = np.random.default_rng(0), scipy.stats.zscore(np.arange(10.0), ddof=1)
    size = effect.unpaired(sample, sample).detectable(0.05, 0.8)
    trials = [effect.unpaired(rng.standard_normal(10), size + rng.standard_normal(10)) for _ in range(1_000)]
    ends = np.array([e.interval(0.05) for e in trials])
    assert 0.93 < np.mean((ends[:, 0] < size) & (ends[:, 1] > size)) < 0.97
    assert np.mean(ends[:, 0] > 0) == pytest.approx(0.8, abs=0.04)
    assert judge_ratio(trials[0]).paired is False


def test_two_selections_from_one_folder(matrix, run):
    path = matrix(recipes=("fp32", "fp16_amp_scaled", "bf16_amp"), batch_sizes=(64, 128), seeds=SEEDS)
    done = run(path, "--a", "precision=fp32", "--b", "precision=fp16_amp_scaled,bf16_amp", "--format", "json")
    rows = comparisons(done)
    assert {(r["batch_size"], r["precision"]) for r in rows} == {
        (size, f"fp32 → {b}") for size in ("64", "128") for b in ("fp16_amp_scaled", "bf16_amp")
    }
    assert {r["speed"] for r in rows} == {"faster"}
    sizes = run(path, "--a", "batch_size=64", "--b", "batch_size=128", "--only", "precision=fp32", "--format", "json")
    assert only(sizes)["batch_size"] == "64 → 128"
    assert only(sizes)["memory_ratio"] > 1.3


def test_halves_of_the_seeds_do_not_pair_up(matrix, run):
    path = matrix(recipes=("fp32",), seeds=range(6))
    row = only(run(path, "--a", "seed=0,2,4", "--b", "seed=1,3,5", "--format", "json"))
    assert (row["paired"], row["speed"], row["n_a"]) == (False, "can't tell", 3)


def test_more_rows_widen_every_interval(write, run):
    few, many = ({"batch_sizes": sizes} for sizes in ((64,), (64, 128, 256, 512)))
    wide = [r["alpha"] for r in comparisons(run(write("a", **many), write("b", **many), "--format", "json"))]
    alone = only(run(write("c", **few), write("d", **few), "--format", "json"))["alpha"]
    assert min(wide) == pytest.approx(alone / 4)


def test_memory_and_accuracy_have_gates_of_their_own(write, run):
    a, b = write("a", steady_peak_bytes=1000 * 2**20), write("b", steady_peak_bytes=1100 * 2**20)
    assert run(a, b, "--fail-on", "memory>5%").exit_code == 1
    assert run(a, b, "--fail-on", "memory>10%").exit_code == 0
    c = write("c", recipes=("bf16",))
    done = run(a, c, "--a", "precision=fp32", "--b", "precision=bf16", "--fail-on", "accuracy<-0.5", "--format", "json")
    assert (done.exit_code, only(done)["accuracy"]) == (1, "worse")
    assert only(done)["points"] == pytest.approx(-2, abs=0.5)
    assert run(a, b, "--fail-on", "accuracy<-0.5").exit_code == 0
    timed = [write(name, epochs=0) for name in ("d", "e")]
    assert "can't tell, so no failure, for VGG19 cifar10 batch 128 fp32 (not measured)" in (
        run(*timed, "--fail-on", "accuracy<-0.5").stderr
    )


@pytest.mark.parametrize(
    "text", ["slower>2", "slower<2%", "faster>2%", "slower>2%x", "slower>-2%", "accuracy<0.5", "memory>", ""]
)
def test_a_gate_that_is_written_otherwise_is_refused_with_the_way_to_write_it(text):
    with pytest.raises(ResultsError, match=r"write slower>2%, memory>5% or accuracy<-0.5"):
        gate.parse(text)


@pytest.mark.parametrize("text", ["slower>0.5%", "slower>100%", "accuracy<-0.1"])
def test_a_gate_within_what_counts_as_same_is_refused(text):
    with pytest.raises(ResultsError, match="takes a limit from"):
        gate.parse(text)


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"machine": "Other GPU"}, "machine Test GPU in A, Other GPU in B"),
        ({"torch": "2.16.0", "cuda": "13.0"}, "CUDA none in A, 13.0 in B; torch 2.15.0 in A, 2.16.0 in B"),
        ({"cudnn": "9.9"}, "cuDNN none in A, 9.9 in B"),
        ({"driver": "580"}, "driver none in A, 580 in B"),
        ({"environment_id": "e2"}, "environment e1 in A, e2 in B"),
        ({"method_version": 0}, "method 1 in A, 0 in B"),
        ({"data_sha256": "f00"}, "data checksum none in A, f00 in B"),
    ],
)
def test_sides_that_were_not_measured_alike_are_refused(write, run, over, said):
    a, b = write("a"), write("b", 0.9, **over)
    assert f"A and B were not measured alike: {said}; measure both" in refused(run(a, b))


@pytest.mark.parametrize("form", ["table", "md", "csv", "json"])
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
    assert "2 environments (GPU e1 with torch 2.15.0; GPU e2" in refused(run(*arguments))
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


def test_the_same_cells_on_both_sides_are_told(write, run):
    path = write("a")
    done = run(path, path, "--format", "json")
    assert only(done)["speed"] == "same"
    assert "5 cells are on both sides; compared with itself it says nothing." in json.loads(done.stdout)["notes"]


def test_other_boards_of_one_product_are_told(write, run):
    done = run(write("a"), write("b", board="GPU-2"), "--format", "json")
    assert any("1 of 1 compare different boards" in note for note in json.loads(done.stdout)["notes"])


def test_one_process_a_side_tells_nothing_and_ends_with_2(write, run):
    done = run(write("a", seeds=(0,)), write("b", 0.5, seeds=(0,)), "--fail-on", "slower>2%")
    assert done.exit_code == 2
    assert "can't tell" in done.stdout
    assert "0.5" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("nothing can be told: it takes two processes on each side")


@pytest.mark.parametrize("status", ["crashed", "throttled", "oom"])
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

    assert "is damaged or no Parquet file" in spoiled(lambda p: p.write_bytes(p.read_bytes()[:-100]))
    assert "lacks the column cell_id" in spoiled(lambda p: pq.write_table(pa.table({"x": [1]}), p))
    assert "by method 9, and this ampbench knows" in spoiled(with_column("method_version", pa.array([9] * 5)))
    assert "images_per_s holds string, not numbers" in spoiled(with_column("images_per_s", pa.array(["fast"] * 5)))
    assert "holds a cell twice" in spoiled(with_column("cell_id", pa.array(["one"] * 5)))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one folder is no comparison; name a second one"),
        (["--a", "precision=fp32"], "one folder is no comparison"),
        (["--a", "fp32", "--b", "bf16_amp"], "fp32: write key=value"),
        (["--a", "precison=fp32", "--b", "precision=bf16_amp"], "did you mean precision?"),
        (["--a", "precision=fp32", "--b", "precision=bf17"], "has precision bf17; name one of fp32, bf16_amp"),
        (["--a", "precision=fp32", "--b", "precision=bf16_amp", "--fail-on", "slow"], "write slower>2%"),
    ],
)
def test_a_wrong_request_names_the_next_move(matrix, run, arguments, said):
    assert said in refused(run(matrix(), *arguments))


def test_every_format_holds_the_same_comparisons(write, run):
    a, b = write("a", batch_sizes=(64, 128)), write("b", 0.9, batch_sizes=(64, 128))
    text, markdown, rows = (run(a, b, "--format", form).stdout for form in ("table", "md", "csv"))
    for line in (next(x for x in out.splitlines() if " 64 " in x) for out in (text, markdown)):
        assert all(word in line for word in ("VGG19", "fp32", "slower", "%"))
    head, rule, *body = [line for line in markdown.splitlines() if line.startswith("|")]
    assert set(rule) == {"|", "-"}
    assert len({line.count("|") for line in (head, rule, *body)}) == 1
    assert len(body) == 2
    parsed = list(csv.DictReader(io.StringIO(rows)))
    numbers = comparisons(run(a, b, "--format", "json"))
    assert [float(r["ratio"]) for r in parsed] == pytest.approx([r["ratio"] for r in numbers])
    assert list(parsed[0]) == list(numbers[0])


def test_no_line_is_wider_than_the_terminal(matrix, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    path = matrix(recipes=("fp32", "fp16_amp_scaled"))
    done = run(path, "--a", "precision=fp32", "--b", "precision=fp16_amp_scaled")
    assert max(len(line) for line in done.stdout.splitlines() if str(path) not in line) <= 100
