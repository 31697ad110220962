"""Result sets that mislead, with the truth beside them: none of them may be answered by a false `train in`.

A row of the table says how the set misleads, how it is made, what is true, and which words of the answer say why.
"""

from __future__ import annotations

import math

import pytest

from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.decision.wishes import Wishes
from ampbench.visualize.judge.verdict.verdict import judge
from ampbench.visualize.read.frame import read
from ampbench.visualize.show.table import shown
from tests.support.thinned import thinned
from tests.visualize.conftest import cell
from tests.visualize.judge.decision.misleading import (
    CHANCE,
    EQUAL,
    ON_CPU,
    Misleading,
    always_second,
    apart_at_512,
    big_memory,
    collapsed_without_partners,
    diverged_at_64,
    diverged_reference,
    failed_reference,
    half_never_reach,
    harm_at_64,
    large_batch_learns_less,
    one,
    one_after_the_other,
    one_failed,
    one_hung_round,
    one_run_skips,
    only_sixteen_bit,
    only_warm,
    other_seeds,
    other_switches,
    out_of_memory_at_512,
    pairs,
    resident_sets,
    seeds_as_wide_as_fp32s,
    six_rounds_of_one_seed,
    throttled_reference,
    two_boards,
    two_machines,
)

JOULES = {"energy_instrument": "energy_counter"}
GIB_20, GIB_30 = ({"steady_peak_bytes": size * 2**30} for size in (20, 30))
LARGEST_CLASS = {"macro_recall": 0.1, "learned": None}
TABLE = [
    Misleading(
        looks="both at chance: equal accuracies of networks that learned nothing",
        make=lambda f: pairs(f, points=EQUAL, ours=CHANCE, theirs=CHANCE),
        truth="stay fp32",
        says="learned nothing",
    ),
    Misleading(
        looks="both at chance, in older records that do not say so",
        make=lambda f: pairs(f, points=EQUAL, ours=CHANCE | {"learned": None}, theirs=CHANCE | {"learned": None}),
        truth="stay fp32",
        says="learned nothing",
    ),
    Misleading(
        looks="both hardly above chance: equal accuracies of networks that learned next to nothing",
        make=lambda f: pairs(f, points=EQUAL, ours={"test_accuracy": 0.13}, theirs={"test_accuracy": 0.13}),
        truth="stay fp32",
        says="learned hardly more than guessing",
    ),
    Misleading(
        looks="three equal pairs, and seven collapsed trainings without a partner",
        make=collapsed_without_partners,
        truth="stay fp32",
        says="no partner",
    ),
    Misleading(
        looks="other environment switches in one recipe", make=other_switches, truth="stay fp32", says="switches"
    ),
    Misleading(
        looks="a board that was shared while fp32 ran",
        make=lambda f: pairs(f, theirs={"foreign_processes": 2}),
        truth="stay fp32",
        says="shared with other processes",
    ),
    Misleading(
        looks="fp32 at the thermal limit for 60 % of the time",
        make=lambda f: pairs(f, theirs={"thermal_violation_share": 0.6}),
        truth="stay fp32",
        says="60 % of the time at the thermal limit",
    ),
    Misleading(
        looks="60 % of the updates skipped: skipped steps are fast",
        make=lambda f: pairs(f, "fp16_amp_scaled", ours={"num_steps": 100, "num_skipped": 60}),
        truth="stay fp32",
        says="60 % of the updates skipped",
    ),
    Misleading(
        looks="one round of fp32 hung: twenty times as fast", make=one_hung_round, truth="stay fp32", says="noise"
    ),
    Misleading(
        looks="an eighth of the speed, in two pairs",
        make=lambda f: pairs(f, "fp16_amp", ratios=(0.12, 0.121)),
        truth="stay fp32",
        says="slower",
    ),
    Misleading(
        looks="the recipe's accuracies are missing where fp32 has them",
        make=lambda f: pairs(f, points=EQUAL, ours={"test_accuracy": None}),
        truth="stay fp32",
        says="no test accuracy",
    ),
    Misleading(
        looks="one accuracy of the recipe is missing",
        make=lambda f: (
            pairs(f, points=EQUAL, ours={}),
            f.add(cell("bf16_amp", 128, 9), images_per_s=1800.0, test_accuracy=math.nan),
            None,
        )[-1],
        truth="stay fp32",
        says="no test accuracy in 1 of 7 runs",
    ),
    Misleading(
        looks="fp32 throttled in every round: the slower fp16_amp seems the reference",
        make=throttled_reference,
        truth="stay fp32",
        says="throttled",
    ),
    Misleading(
        looks="fp32 out of memory where bf16_amp is fastest",
        make=out_of_memory_at_512,
        truth="train bf16_amp at 512",
        says="2.6",
    ),
    Misleading(
        looks="other seeds for each recipe (Simpson): fp32 had the hard ones",
        make=other_seeds,
        truth="stay fp32",
        says="bf16_amp",
    ),
    Misleading(
        looks="fp32 diverged in every run", make=diverged_reference, truth="stay fp32", says="no run of fp32 or tf32"
    ),
    Misleading(
        looks="fp32 failed by an error of the model's: it is nothing to stay with",
        make=failed_reference,
        truth="none ",
        says="nothing can be advised: no run of fp32 or tf32 ended well (fp32 failed), and 16 bits vouch for nothing",
    ),
    Misleading(
        looks="every recipe is slower",
        make=lambda f: pairs(f, ratios=(0.7, 0.705, 0.695)),
        truth="stay fp32",
        says="no recipe is faster",
    ),
    Misleading(
        looks="faster and as accurate, but one of seven diverged",
        make=one_failed,
        truth="stay fp32",
        says="1 of 7 runs",
    ),
    Misleading(
        looks="a speed of zero",
        make=lambda f: pairs(f, ours={"images_per_s": 0.0}),
        truth="stay fp32",
        says="no speed",
    ),
    Misleading(
        looks="one lucky seed: 2 points better, the others 1 point worse",
        make=lambda f: pairs(f, ratios=(1.8, 1.81, 1.79), points=(2.0, -1.6, -1.6)),
        truth="stay fp32",
        says="lose",
    ),
    Misleading(
        looks="the fastest recipe does not fit the memory that there is",
        make=big_memory,
        truth="stay fp32",
        says="no other recipe is known to fit 24.0 GiB",
        wishes=Wishes(max_memory_bytes=24 * 2**30),
    ),
    Misleading(
        looks="the fastest recipe fits in its steps, and not while kernels are tried before them",
        make=lambda f: pairs(f, ours=GIB_20 | {"startup_peak_bytes": 30 * 2**30}, theirs=GIB_20),
        truth="stay fp32",
        says="no other recipe is known to fit 24.0 GiB",
        wishes=Wishes(max_memory_bytes=24 * 2**30),
    ),
    Misleading(
        looks="fp32 does not fit the memory that there is: it vouches, and is nothing to stay with",
        make=lambda f: pairs(f, points=EQUAL, ours=GIB_20, theirs=GIB_30),
        truth="train bf16_amp at 128",
        says="1.80x as fast",
        wishes=Wishes(max_memory_bytes=24 * 2**30),
    ),
    Misleading(
        looks="fp32 does not fit the memory that there is, and what fits does harm",
        make=lambda f: pairs(f, points=(-5.0, -5.1, -4.9), ours=GIB_20, theirs=GIB_30),
        truth="none ",
        says="nothing can be advised within 24.0 GiB: fp32 is not known to fit, and bf16_amp is 1.8x as fast as fp32",
        wishes=Wishes(max_memory_bytes=24 * 2**30),
    ),
    Misleading(
        looks="the recipe ran on another machine", make=two_machines, truth="stay fp32", says="nothing to compare"
    ),
    Misleading(
        looks="faster, but more energy per image, and energy is asked for",
        make=lambda f: pairs(f, ours=JOULES | {"joules_per_image": 1.2}, theirs=JOULES | {"joules_per_image": 1.0}),
        truth="stay fp32",
        says="energy",
        wishes=Wishes(want="energy"),
    ),
    Misleading(
        looks="slower, but less energy per image, and energy is asked for",
        make=lambda f: pairs(
            f,
            ratios=(0.9, 0.91, 0.89),
            ours=JOULES | {"joules_per_image": 0.6},
            theirs=JOULES | {"joules_per_image": 1.0},
        ),
        truth="train bf16_amp at 128",
        says="40 % less energy",
        wishes=Wishes(want="energy"),
    ),
    Misleading(
        looks="the recipe's accuracy swings, fp32's does not",
        make=lambda f: pairs(f, points=EQUAL, ours={"learning_note": "test accuracy swings: 90 40 93 %; try"}),
        truth="stay fp32",
        says="test accuracy swings",
    ),
    Misleading(
        looks="fp32 ran once",
        make=lambda f: (
            pairs(f, ratios=(1.8,)),
            one(f, "bf16_amp", 1800.0, number=1),
            one(f, "bf16_amp", 1801.0, number=2),
            None,
        )[-1],
        truth="stay fp32",
        says="one pair of runs",
    ),
    Misleading(
        looks="the largest batch is the fastest and learns 13 points less",
        make=large_batch_learns_less,
        truth="train bf16_amp at 64",
        says="bf16_amp",
    ),
    Misleading(looks="fp32 opened the first round on a cold board", make=only_warm, truth="stay fp32", says="noise"),
    Misleading(
        looks="16-bit recipes alone: the faster of two that may both be wrong",
        make=only_sixteen_bit,
        truth="stay fp32",
        says="no run of fp32 or tf32",
    ),
    *thinned(
        (
            Misleading(
                looks=f"a larger batch at which fp32 was {status or 'not asked'}: the gain may be that of the batch",
                make=apart_at_512(status),
                truth="stay fp32",
                says="may be as fast there",
            )
            for status in ("throttled", "crashed", "excluded", None)
        ),
        kept=2,
    ),
    Misleading(
        looks="a larger batch at which fp32 was out of memory",
        make=apart_at_512("oom"),
        truth="train bf16_amp at 512",
        says="1.50x",
    ),
    Misleading(
        looks="harm at batch 64, and three seeds at batch 128 that cannot tell",
        make=harm_at_64,
        truth="stay fp32",
        says="points of test accuracy in 6 seeds at batch 64",
    ),
    Misleading(
        looks="every run diverged at batch 64, and at batch 128 only the speed was measured",
        make=diverged_at_64,
        truth="stay fp32",
        says="diverged at batch 64",
    ),
    Misleading(
        looks="six rounds of one seed that loses 0.45 points: the same training six times",
        make=six_rounds_of_one_seed,
        truth="stay fp32",
        says="0.5 points of test accuracy in 1 seed",
    ),
    Misleading(
        looks="three of six runs reached the accuracy, and those were early",
        make=half_never_reach,
        truth="stay fp32",
        says="never reached in 3 of 6 runs",
        wishes=Wishes(want="time-to-accuracy"),
    ),
    Misleading(
        looks="half of the updates skipped in one of three runs",
        make=one_run_skips,
        truth="stay fp32",
        says="up to 50 % of the updates skipped",
    ),
    *thinned(
        (
            Misleading(
                looks=f"an accuracy of {accuracy} is no share",
                make=lambda f, accuracy=accuracy: pairs(f, points=EQUAL, ours={"test_accuracy": accuracy}),
                truth="stay fp32",
                says="no test accuracy in 6 of 6 runs",
            )
            for accuracy in (93.0, -1.0, math.inf)
        ),
        kept=1,
    ),
    Misleading(
        looks="one seed loses 4.5 points and another gains 4: no change in the mean",
        make=lambda f: pairs(f, ratios=(1.8, 1.81, 1.79), points=(-4.5, 0.2, 4.0)),
        truth="stay fp32",
        says="one of 3 seeds loses 4.5 points of test accuracy, single seeds from -4.5 to +4.0",
    ),
    Misleading(
        looks="seeds that differ as those of fp32 do: no harm, and the mean is not the whole",
        make=seeds_as_wide_as_fp32s,
        truth="train bf16_amp at 128",
        says="single seeds from -1.5 to +1.5",
    ),
    Misleading(
        looks="all fp32 runs first, and the machine became 15 % faster meanwhile",
        make=one_after_the_other(1.15),
        truth="stay fp32",
        says="every run came after all of fp32, so a machine that changed meanwhile may explain",
    ),
    Misleading(
        looks="all fp32 runs first, but 1.8 times as fast: more than a machine drifts",
        make=one_after_the_other(1.8),
        truth="train bf16_amp at 128",
        says="every run came after all of fp32",
    ),
    Misleading(
        looks="15 % faster, in turns",
        make=one_after_the_other(1.15, in_turns=True),
        truth="train bf16_amp at 128",
        says="1.15x as fast",
    ),
    Misleading(
        looks="the order of the plan, where no record says when it started",
        make=one_after_the_other(1.15, started_at=None),
        truth="stay fp32",
        says="every run came after all of fp32",
    ),
    Misleading(
        looks="3 % less resident set in the one run of each, and memory is asked for",
        make=resident_sets(97),
        truth="stay fp32",
        says="one pair shows no noise",
        wishes=Wishes(want="memory"),
    ),
    Misleading(
        looks="3 % less by the allocator in the one run of each: it repeats itself",
        make=lambda f: pairs(
            f, ratios=(1.0,), ours={"steady_peak_bytes": 97 * 2**20}, theirs={"steady_peak_bytes": 100 * 2**20}
        ),
        truth="train bf16_amp at 128",
        says="3 % less memory (by the allocator)",
        wishes=Wishes(want="memory"),
    ),
    Misleading(
        looks="resident sets that are told apart in three runs, and memory is asked for",
        make=resident_sets(79, 80, 78),
        truth="train bf16_amp at 128",
        says="21 % less memory (resident set)",
        wishes=Wishes(want="memory"),
    ),
    Misleading(
        looks="the allocator says less, the resident set more: one quantity, which is named",
        make=lambda f: pairs(
            f,
            ours=ON_CPU | {"steady_peak_bytes": 519 * 2**20, "allocator_peak_bytes": 34 * 2**20},
            theirs=ON_CPU | {"steady_peak_bytes": 515 * 2**20, "allocator_peak_bytes": 56 * 2**20},
        ),
        truth="train bf16_amp at 128",
        says="39 % less memory (by the allocator)",
    ),
    Misleading(
        looks="fp32 by another commit of ampbench",
        make=lambda f: pairs(f, theirs={"git_commit": "f" * 40, "git_dirty": True}),
        truth="train bf16_amp at 128",
        says="measured by 2 states of ampbench (fffffff with uncommitted changes, 0123456)",
    ),
    Misleading(
        looks="equal accuracies on a test set of unknown size",
        make=lambda f: pairs(f, points=(0.0,) * 6, ours={"num_test_images": None}, theirs={"num_test_images": None}),
        truth="train bf16_amp at 128",
        says="cannot be settled on a test set of unknown size; it takes 667 or more",
    ),
    Misleading(
        looks="two ratios that are exactly equal: certain to the last digit",
        make=lambda f: pairs(f, ratios=(1.8, 1.8)),
        truth="train bf16_amp at 128",
        says="(between 1.78 and 1.82)",
    ),
    Misleading(
        looks="0.9 % faster in two pairs that are exactly equal",
        make=lambda f: pairs(f, ratios=(1.009, 1.009)),
        truth="stay fp32",
        says="noise",
    ),
    Misleading(
        looks="updates skipped, and nobody knows of how many",
        make=lambda f: pairs(f, "fp16_amp_scaled", ours={"num_steps": None, "num_skipped": 60}),
        truth="stay fp32",
        says="updates skipped in 3 of 3 runs, and the number of steps is not known",
    ),
    *(
        Misleading(
            looks=f"other work under the same name: {words}",
            make=lambda f, ours=ours, theirs=theirs: pairs(f, points=EQUAL, ours=ours, theirs=theirs),
            truth="stay fp32",
            says=words,
        )
        for ours, theirs, words in (
            ({"data_sha256": "a" * 64}, {"data_sha256": "b" * 64}, "another data set (aaaaaaaa for bf16_amp"),
            ({"num_parameters": 1000}, {"num_parameters": 20_000_000}, "another number of parameters (1000 for"),
            ({"exclusive": True}, {"exclusive": False}, "another setting of --exclusive (True for bf16_amp, False"),
        )
    ),
    Misleading(
        looks="5 % faster than the run before it, as is every run on a machine that becomes free",
        make=always_second(1.05, drift=1.05),
        truth="stay fp32",
        says="the machine changed from run to run, in an order that explains the difference",
    ),
    Misleading(
        looks="20 % faster on a machine that becomes free",
        make=always_second(1.2, drift=1.05),
        truth="train bf16_amp at 128",
        says="1.20x as fast",
    ),
    Misleading(
        looks="15 % faster on another board of the same product",
        make=lambda f: pairs(f, ratios=(1.15, 1.151, 1.149), ours={"board": "GPU-2"}),
        truth="stay fp32",
        says="two boards of one product may differ as much",
    ),
    Misleading(
        looks="10 % faster, and two of three pairs are on two boards: one recipe a board, but for the last seed",
        make=two_boards(1.1),
        truth="stay fp32",
        says="67 % of the runs were not on the board of fp32, and two boards of one product may differ as much",
    ),
    Misleading(
        looks="1.2 times as fast, two of three pairs on two boards: more than these explain",
        make=two_boards(1.2),
        truth="train bf16_amp at 128",
        says="1.20x as fast",
    ),
    Misleading(
        looks="1.8 times as fast on another board: more than two boards differ",
        make=lambda f: pairs(f, ours={"board": "GPU-2"}),
        truth="train bf16_amp at 128",
        says="no run was on a board of fp32",
    ),
    Misleading(
        looks="nine of ten images are of one class, and both always answer with it",
        make=lambda f: pairs(f, points=EQUAL, ours=LARGEST_CLASS, theirs=LARGEST_CLASS),
        truth="stay fp32",
        says="learned nothing",
    ),
    Misleading(
        looks="nine of ten images are of one class, and both know hardly more",
        make=lambda f: pairs(f, points=EQUAL, ours={"macro_recall": 0.13}, theirs={"macro_recall": 0.13}),
        truth="stay fp32",
        says="learned hardly more than guessing",
    ),
    Misleading(
        looks="an equal accuracy on classes of different size, and the small ones are lost",
        make=lambda f: pairs(f, points=EQUAL, ours={"macro_recall": 0.6}, theirs={"macro_recall": 0.9}),
        truth="stay fp32",
        says="60 % of a class are found on average, in the reference 90 %",
    ),
    Misleading(
        looks="an equal accuracy, and a test loss that overflowed",
        make=lambda f: pairs(f, points=EQUAL, ours={"test_loss": math.inf}, theirs={"test_loss": 0.3}),
        truth="stay fp32",
        says="no finite test loss in 6 of 6 runs",
    ),
    Misleading(
        looks="fp32 with one thread, the recipe with two",
        make=lambda f: pairs(f, ours={"threads_used": 2, "num_cores": 2}, theirs={"threads_used": 1, "num_cores": 2}),
        truth="stay fp32",
        says="2 threads",
    ),
]


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_no_result_set_that_misleads_is_believed(case, folder):
    case.make(folder)
    results = read(folder.write(), mixed=True)
    found = answers(results, standings(results, judge(results.cells)), case.wishes)
    advice = [
        f"train {one.recipe} at {one.batch_size}" if one.action == "train" else f"{one.action} {one.recipe}"
        for one in found
    ]
    said = "\n".join([line for one in found for line in (one.headline, *(line.text for line in one.lines))])
    assert case.truth in advice, said
    assert len(set(advice)) == 1 or not any(one.startswith("train") for one in advice), said
    assert case.says in said


@pytest.mark.parametrize("points", [None, EQUAL])
def test_what_is_faster_and_does_no_harm_is_advised(folder, points):
    ratios = (1.8, 1.81, 1.79, 1.8, 1.8, 1.8)
    pairs(folder, ratios=ratios, points=points)
    results = read(folder.write())
    (found,) = answers(results, standings(results, judge(results.cells)))
    assert found.headline == "VGG19 on Test GPU: train in bf16_amp at batch 128."


def test_a_cell_that_was_excluded_did_not_fail(folder):
    pairs(folder, ratios=(1.8, 1.81, 1.79))
    folder.add(cell("bf16_amp", 128, 1, epochs=0), "excluded")
    results = read(folder.write())
    rows = standings(results, judge(results.cells))
    (found,) = answers(results, rows)
    assert found.action == "train"
    assert shown(rows[1])["n"] == "3"


def test_what_two_instruments_measured_is_no_gain(folder):
    ours = {"memory_instrument": "rss", "joules_per_image": 0.5, "energy_instrument": "power_samples"}
    theirs = {"memory_instrument": "cuda_allocator", "joules_per_image": 1.0, "energy_instrument": "energy_counter"}
    pairs(folder, ours=ours, theirs=theirs)
    results = read(folder.write())
    (found,) = answers(results, standings(results, judge(results.cells)))
    (gain,) = (line.text for line in found.lines if line.topic == "gain")
    assert "memory" not in gain
    assert "energy" not in gain


def test_one_unknown_number_of_parameters_costs_no_pair(folder):
    pairs(folder, ours={"num_parameters": 1000}, theirs={"num_parameters": 1000})
    folder.rows["cells"][1]["num_parameters"] = None
    results = read(folder.write())
    (verdict,) = judge(results.cells)
    assert verdict.speed.n == 3
    assert verdict.unpaired is None
