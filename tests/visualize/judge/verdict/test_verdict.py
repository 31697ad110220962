"""Verdicts and recommendations on cells whose truth is known."""

from __future__ import annotations

import pytest

from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.answer.by_machine import first_lines
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.verdict import judge
from ampbench.visualize.read.frame import read
from ampbench.visualize.read.notes import notes, provenance, reasons
from ampbench.visualize.show.summary import COLUMNS, frame_of
from ampbench.visualize.show.table import legend, shown, text
from tests.visualize import conftest
from tests.visualize.conftest import cell


def only(path, recipe, **conditions):
    """Return the verdict on one recipe."""
    (found,) = [v for v in judge(read(path, mixed=True).where(**conditions).cells) if v.recipe == recipe]
    return found


def sentence(path):
    """Return the answer for the only subject, its headline and its lines."""
    results = read(path, mixed=True)
    (found,) = answers(results, standings(results, judge(results.cells)))
    return "\n".join([found.headline, *(line.text for line in found.lines)])


def test_a_faster_and_equivalent_recipe_is_recommended_with_its_evidence(matrix):
    path = matrix(seeds=range(10))
    verdict = only(path, "bf16_amp")
    assert (verdict.speed.verdict, verdict.accuracy.verdict) == ("faster", "equivalent")
    assert verdict.speed.low < 1.85 < verdict.speed.high
    assert verdict.speed.n == 10
    said = sentence(path)
    assert said.startswith("VGG19 on Test GPU: train in bf16_amp at batch 128.\n1.8")
    assert "speed (10 runs each), end (as accurate within 0.3 points in 10 seeds)" in said
    assert "less memory" in said


def test_one_process_each_tells_nothing(matrix):
    path = matrix(seeds=(0,))
    verdict = only(path, "bf16_amp")
    assert (verdict.speed.verdict, verdict.accuracy.verdict) == ("can't tell", "can't tell")
    said = sentence(path)
    assert "stay with fp32; bf16_amp was" in said
    assert "in the one pair of runs" in said


def test_rounds_of_one_seed_are_pairs(folder):
    for number in range(4):
        for recipe in ("fp32", "bf16_amp"):
            folder.add(cell(recipe, epochs=0, round=number))
    path = folder.write()
    verdict = only(path, "bf16_amp")
    assert verdict.speed.n == 4
    assert verdict.accuracy is None
    assert "accuracy not measured yet" in sentence(path)


def test_a_recipe_that_loses_accuracy_is_not_recommended(matrix):
    path = matrix(recipes=("fp32", "bf16"), seeds=range(6))
    assert only(path, "bf16").accuracy.verdict == "worse"
    assert sentence(path).startswith("VGG19 on Test GPU: stay with fp32; bf16 is 2.2x as fast as fp32, but loses 2.")


def test_open_accuracy_says_how_many_seeds_would_decide(matrix):
    path = matrix(over={"accuracy_noise": 0.002})
    said = sentence(path)
    assert "train in bf16_amp at batch 128." in said
    assert "accuracy not settled: -0.1 points in 3 seeds" in said
    assert f"about {only(path, 'bf16_amp').accuracy.more} more seeds would settle the accuracy" in said


def test_a_small_test_set_shows_no_equivalence_but_a_collapse(matrix):
    path = matrix(recipes=("fp32", "bf16", "bf16_amp"), seeds=range(10), over={"num_test_images": 360})
    verdict = only(path, "bf16_amp")
    assert verdict.accuracy.verdict == "can't tell"
    assert verdict.too_coarse
    assert "the accuracy cannot be settled on 360 test images; it takes 667 or more" in sentence(path)
    assert only(path, "bf16").accuracy.verdict == "worse"


def test_a_test_set_is_large_enough_when_one_image_is_half_the_margin(matrix):
    assert only(matrix(seeds=range(10), over={"num_test_images": 667}), "bf16_amp").accuracy.verdict == "equivalent"


def test_a_recipe_that_lost_a_replicate_is_not_recommended(folder):
    for seed in range(10):
        folder.add(cell("fp32", seed=seed))
        folder.add(cell("fp16_amp", seed=seed), "diverged" if seed == 3 else "ok")
    path = folder.write()
    verdict = only(path, "fp16_amp")
    assert (verdict.num_ok, verdict.num_failed, verdict.speed.n) == (9, 1, 9)
    assert "stay with fp32; fp16_amp is 1.8x as fast as fp32, but 1 of 10 runs did not end well" in sentence(path)


def test_nothing_faster_keeps_the_reference(matrix, monkeypatch):
    monkeypatch.setitem(conftest.SPEED, "bf16_amp", 0.5)
    said = sentence(matrix())
    assert "stay with fp32; no recipe is faster (the nearest, bf16_amp, is 2.0x slower than fp32)." in said


@pytest.mark.parametrize("ratios", [(0.98,), (0.7, 1.3)])
def test_a_slower_looking_recipe_that_nothing_tells_is_not_called_slower(folder, ratios):
    for number, ratio in enumerate(ratios):
        folder.add(cell("fp32", epochs=0, round=number), images_per_s=1000.0)
        folder.add(cell("bf16_amp", epochs=0, round=number), images_per_s=1000.0 * ratio)
    said = sentence(folder.write())
    assert said.startswith("VGG19 on Test GPU: stay with fp32; bf16_amp "), said
    assert "no recipe is faster" not in said
    assert ("in the one pair of runs" if len(ratios) == 1 else "is within the noise of 2 pairs") in said


def test_sixteen_bit_recipes_alone_are_no_reference_for_accuracy(matrix):
    said = sentence(matrix(recipes=("fp16", "bf16"), seeds=range(10)))
    assert "stay with fp32; no run of fp32 or tf32 is there to compare with" in said


def test_every_faster_recipe_is_named_with_what_is_against_it(folder):
    for number in range(3):
        for recipe, speed, over in (
            ("fp32", 1000, {}),
            ("bf16_amp", 1500, {}),
            ("fp16", 2000, {"foreign_processes": 1}),
            ("fp16_scaled", 1900, {"foreign_processes": 1}),
            ("bf16", 1800, {"thermal_violation_share": 0.5}),
        ):
            folder.add(cell(recipe, epochs=0, round=number), images_per_s=speed + number, **over)
    said = sentence(folder.write())
    for recipe in ("fp16", "fp16_scaled"):
        assert f"{recipe} is faster still, but {recipe}'s numbers are spoiled: the board was shared" in said
    assert "bf16 is faster still, but bf16's numbers are spoiled: 50 % of the time at the thermal limit" in said


def test_a_rival_that_is_not_told_slower_is_named(folder):
    for number in range(4):
        for recipe in ("fp32", "bf16_amp", "fp16_amp"):
            folder.add(cell(recipe, epochs=0, round=number), noise=0.03)
    assert "fp16_amp may be as fast" in sentence(folder.write())


def test_cells_are_paired_on_one_machine_only(folder):
    for seed in range(3):
        folder.add(cell("fp32", seed=seed))
        folder.add(cell("bf16_amp", seed=seed), environment_id="e2", machine="Other GPU")
    results = read(folder.write(), mixed=True)
    assert judge(results.cells) == []
    assert any("Other GPU" in subject for subject in results.subjects)
    assert notes(results) == []
    assert "nothing is compared across them" in first_lines(results, [])[0]


def test_without_fp32_the_first_recipe_is_the_reference(matrix):
    path = matrix(recipes=("bf16", "tf32"))
    results = read(path)
    assert only(path, "bf16").reference == "tf32"
    assert "how many times as fast as tf32" in legend(results, judge(results.cells))


def test_more_comparisons_widen_every_interval(matrix):
    path = matrix(recipes=("fp32", "bf16_amp", "fp16_amp", "bf16", "tf32"))
    results = read(path)
    alone = judge(results.cells[results.cells["recipe"].isin(["fp32", "bf16_amp"])])[0]
    together = only(path, "bf16_amp")
    assert together.speed.alpha < alone.speed.alpha
    assert together.speed.low < alone.speed.low


def test_all_failed_is_said_and_nothing_else(matrix):
    path = matrix(ends={"fp32": "crashed", "bf16_amp": "crashed"})
    assert sentence(path) == "VGG19: nothing can be advised, because no run ended well."
    assert provenance(read(path).cells) == "No cell ran to its end"


def test_of_a_network_whose_excluded_cells_are_all_that_is_there_nobody_says_that_it_failed(matrix):
    path = matrix(ends={"fp32": "excluded", "bf16_amp": "excluded"})
    assert sentence(path) == "VGG19: nothing can be advised, because none of its cells has run yet."


def test_a_single_recipe_has_nothing_to_be_compared_with(matrix):
    assert "stay with fp32; no other recipe ran to its end, so there is nothing to compare it with" in sentence(
        matrix(recipes=("fp32",))
    )


def test_reasons_name_every_cell_that_was_not_measured(matrix):
    path = matrix(("fp32", "tf32", "fp16"), (64, 128), (0, 1), ends={"tf32": "unsupported", "fp16": "diverged"})
    assert reasons(read(path).cells) == [
        "tf32 at batch 64 (x2), 128 (x2): unsupported, TF32 is a GPU's",
        "fp16 at batch 64 (x2), 128 (x2): diverged, loss was nan at step 7; first in features.0",
    ]


def test_the_table_has_a_row_for_what_failed_too(matrix):
    results = read(matrix(("fp32", "fp16"), seeds=(0, 1), ends={"fp16": "diverged"}))
    rows = standings(results, judge(results.cells))
    assert shown(rows[1])["images/s"] == "diverged"
    assert shown(rows[1])["n"] == "0/2"
    frame = frame_of(rows)
    assert list(frame.columns) == COLUMNS
    assert list(frame["recipe"]) == ["fp32", "fp16"]
    assert frame.loc[1, ["status", "n", "num_cells"]].tolist() == ["diverged", 0, 2]
    assert frame.loc[1, ["images_per_s", "test_accuracy", "speedup"]].isna().all()


def test_the_accuracy_of_a_diverged_run_is_in_no_mean(folder):
    for seed in range(3):
        folder.add(cell("fp32", seed=seed), "diverged" if seed else "ok")
    results = read(folder.write())
    assert frame_of(standings(results, []))["test_accuracy"].iloc[0] > 0.9


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_of_the_table_is_wider_than_the_terminal(matrix, width):
    results = read(
        matrix(recipes=("fp32", "fp16_amp_scaled", "tf32"), batch_sizes=(64, 1024), ends={"tf32": "unsupported"})
    )
    lines = text(standings(results, judge(results.cells)), width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("fp16_amp_scaled" in line for line in lines)


def test_cells_that_have_not_run_yet_are_counted(folder):
    folder.add(cell("fp32"))
    folder.plan = {"cells": [{}, {}, {}]}
    assert notes(read(folder.write())) == [
        "2 of 3 planned cells have not run yet; the same command continues with them."
    ]
