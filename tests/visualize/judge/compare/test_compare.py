"""The comparison of two sides whose truth is known: its verdicts, its intervals and its formats."""

from __future__ import annotations

import csv
import io
import itertools
import math

import numpy as np
import pytest
import scipy.stats

from ampbench.visualize.stats import effect
from ampbench.visualize.stats.statistics import judge_ratio
from tests.visualize.conftest import Folder, cell
from tests.visualize.judge.conftest import SEEDS, comparisons, only


def test_a_repetition_is_same_or_cannot_be_told(write, run):
    for noise, verdict in ((0.0005, "same"), (0.1, "can't tell")):
        a, b = (write(f"{name}{noise}", noise=noise) for name in "ab")
        done = run(a, b, "--format", "json", "--fail-on", "slower>2%")
        assert (done.exit_code, only(done)["speed"]) == (0, verdict)
        assert only(done)["ratio_low"] < 1 < only(done)["ratio_high"]
        assert ("can't tell" in done.stderr) == (verdict == "can't tell"), done.stdout


def test_pairs_by_seed_see_what_the_spread_between_seeds_hides(write, run):
    a, b = write("a"), write("b", 0.9)
    paired = only(run(a, b, "--format", "json"))
    assert (paired["paired"], paired["speed"]) == (True, "slower")
    apart = only(run(a, write("c", 0.9, seeds=range(5, 10)), "--format", "json"))
    assert (apart["paired"], apart["n_a"], apart["n_b"]) == (False, 5, 5)
    assert apart["ratio_high"] - apart["ratio_low"] > 3 * (paired["ratio_high"] - paired["ratio_low"])
    assert apart["points"] is not None  # the difference of the means; no seeds form a pair, so there is no verdict
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


def test_one_process_a_side_tells_nothing_and_ends_with_2(write, run):
    done = run(write("a", seeds=(0,)), write("b", 0.5, seeds=(0,)), "--fail-on", "slower>2%")
    assert done.exit_code == 2
    assert "can't tell" in done.stdout
    assert "0.5" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("no verdict is possible: an interval needs two processes")


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


def test_digits_are_kept_at_any_width(write, run, monkeypatch):
    a, b = write("a", noise=0.0005), write("b", 0.083, noise=0.0005)
    numbers = only(run(a, b, "--format", "json"))
    wanted = f"{numbers['ratio']:.3f}x [{numbers['ratio_low']:.3f}, {numbers['ratio_high']:.3f}]"
    for columns in ("60", "80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        assert wanted in run(a, b).stdout


def test_a_slow_process_of_one_row_leaves_the_other_rows_told(tmp_path, run):
    for name, factor in (("a", 1.0), ("b", 0.8)):
        made = Folder(tmp_path / name)
        for seed, size in itertools.product(range(3), (32, 64, 128, 256)):
            slow = 20 if (name, seed, size) == ("a", 1, 32) else 1
            made.add(cell("fp32", size, seed, epochs=0), images_per_s=1000.0 * factor * (1 + 0.002 * seed) / slow)
        made.write()
    rows = comparisons(run(tmp_path / "a", tmp_path / "b", "--format", "json"))
    assert {r["batch_size"]: r["speed"] for r in rows} == {
        "32": "can't tell", "64": "slower", "128": "slower", "256": "slower",
    }  # fmt: skip


def test_the_peaks_of_two_sides_are_compared_by_one_instrument(write, run):
    """A has the allocator's peak and B only the resident set: both are compared by the resident set."""
    cpu = {"memory_instrument": "rss", "epochs": 0}
    a = write("a", steady_peak_bytes=1000 * 2**20, allocator_peak_bytes=400 * 2**20, **cpu)
    b = write("b", steady_peak_bytes=1100 * 2**20, **cpu)
    both = write("c", steady_peak_bytes=1100 * 2**20, allocator_peak_bytes=200 * 2**20, **cpu)
    mixed, alike = only(run(a, b, "--format", "json")), only(run(a, both, "--format", "json"))
    assert (mixed["peak_instrument_a"], mixed["memory_ratio"]) == ("rss", pytest.approx(1.1))
    assert (alike["peak_instrument_a"], alike["memory_ratio"]) == ("cpu_allocator", pytest.approx(0.5))
    assert "memory: peak of B against that of A, by torch's CPU allocator" in " ".join(run(a, both).stdout.split())
