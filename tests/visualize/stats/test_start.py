"""The verdict on the start of a training, on losses whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ampbench.visualize.stats.start import LEAST_STEPS, Pair, Start, judge_starts

STEPS = 400
SEED_SD, IMAGE_SD = 0.03, 0.05


def pairs(
    rng: np.random.Generator,
    *,
    n: int = 3,
    harm: float = 0.0,
    from_step: int = 0,
    steps: int = STEPS,
    fall: float = 2.0,
    own_sd: float = 0.004,
) -> list[Pair]:
    """Return trainings of n seeds, in which a recipe's loss is `harm` larger from a step on."""
    t, found = np.arange(steps), []
    for _ in range(n):
        images = IMAGE_SD * rng.standard_normal(steps)
        reference = 0.3 + fall * np.exp(-6 * t / steps) + SEED_SD * rng.standard_normal() + images
        own = own_sd * rng.standard_normal() + 0.2 * own_sd * rng.standard_normal(steps)
        found.append(Pair(reference=reference, recipe=reference + own + harm * (t >= from_step)))
    return found


def judged(own: list[Pair]) -> Start:
    [found] = judge_starts([own])
    return found


def test_a_recipe_that_trains_as_its_reference_does_no_harm() -> None:
    found = judged(pairs(np.random.default_rng(0)))
    assert (found.verdict, str(found)) == ("no harm seen", "no harm seen in 400 steps")
    assert found.low < found.estimate < found.high < found.margin
    assert found.from_step is None
    assert found.fall == pytest.approx(2.0, rel=0.3)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_harm_is_told_with_the_step_from_which_it_stays(n: int) -> None:
    found = judged(pairs(np.random.default_rng(n), n=n, harm=0.8, from_step=200))
    assert found.verdict == "harmful"
    assert found.low > found.margin
    assert found.from_step is not None
    assert 200 < found.from_step <= 240
    assert str(found) == f"harmful from step {found.from_step}"


def test_the_margin_is_the_references_own_spread_over_seeds() -> None:
    rng = np.random.default_rng(1)
    own = pairs(rng, n=4)
    ends = [pair.reference[-40:].mean() for pair in own]
    assert judged(own).margin == pytest.approx(np.std(ends, ddof=1))
    worse = pairs(rng, n=4, harm=0.3 * SEED_SD)
    assert judged(worse).verdict == "no harm seen", "less than what another seed does"


def test_the_margin_is_never_below_what_the_images_or_a_hundredth_of_the_fall_are_worth() -> None:
    """Two seeds may end equal by chance: that is no proof that a seed does nothing."""
    t = np.arange(STEPS)
    curve = 0.3 + 2 * np.exp(-6 * t / STEPS)
    noisy = curve + IMAGE_SD * np.random.default_rng(2).standard_normal(STEPS)
    equal = judged([Pair(reference=noisy, recipe=noisy)] * 2)
    assert equal.margin == pytest.approx(max(IMAGE_SD / math.sqrt(40), 0.01 * equal.fall), rel=0.25)
    smooth = judged([Pair(reference=curve, recipe=curve)] * 2)
    assert smooth.margin == pytest.approx(0.01 * smooth.fall)
    assert equal.verdict == smooth.verdict == "no harm seen"


def test_a_loss_that_is_not_finite_is_harm_at_its_step_even_with_one_seed() -> None:
    own = pairs(np.random.default_rng(3), n=2)
    broken = np.append(own[0].recipe[:59], math.nan)
    found = judged([Pair(reference=own[0].reference, recipe=broken), own[1]])
    assert (found.verdict, found.from_step) == ("harmful", 60)
    assert str(found) == "harmful from step 60: the loss is not finite in 1 of 2 seeds"
    assert judged([Pair(reference=own[0].reference, recipe=broken)]).verdict == "harmful"


@pytest.mark.parametrize(
    ("own", "because"),
    [
        (pairs(np.random.default_rng(4), n=1), "one seed"),
        (pairs(np.random.default_rng(4), steps=LEAST_STEPS - 1), "50 are the least"),
        (pairs(np.random.default_rng(4), fall=0.0), "the reference's loss fell by"),
        (pairs(np.random.default_rng(4), fall=-1.0), "the reference's loss fell by 0 only"),
        ([Pair(reference=p.reference, recipe=p.recipe, has_learned=False) for p in pairs(np.random.default_rng(4))],
         "no better than chance"),
        ([Pair(reference=p.reference * math.nan, recipe=p.recipe) for p in pairs(np.random.default_rng(4))],
         "the reference's own loss is not finite"),
    ],
)  # fmt: skip
def test_what_vouches_for_nothing_tells_nothing(own: list[Pair], because: str) -> None:
    found = judged(own)
    assert found.verdict == "can't tell"
    assert because in str(found)


def test_both_that_learn_nothing_are_not_called_harmless() -> None:
    """A recipe without any update ends where it began: so does a reference at chance."""
    flat = [2.303 + 0.02 * np.random.default_rng(i).standard_normal(STEPS) for i in range(3)]
    assert judged([Pair(reference=x, recipe=x) for x in flat]).verdict == "can't tell"


def test_a_recipe_that_never_updates_is_always_found_where_the_reference_vouches() -> None:
    for i in range(50):
        own = pairs(np.random.default_rng(i), n=2)
        stuck = [Pair(reference=p.reference, recipe=p.reference[0] + 0 * p.reference) for p in own]
        assert judged(stuck).verdict != "no harm seen"


@pytest.mark.parametrize("n", [2, 3])
def test_false_alarms_and_false_comfort_are_rare(n: int) -> None:
    """Of 300 families of 4 recipes each: none truly differs; then all lie well beyond the true spread over seeds."""
    rng = np.random.default_rng(n)
    same = [found for _ in range(300) for found in judge_starts([pairs(rng, n=n) for _ in range(4)])]
    assert sum(found.verdict == "harmful" for found in same) <= 0.01 * len(same)
    assert sum(found.verdict == "no harm seen" for found in same) >= 0.9 * len(same)
    harm = 4 * SEED_SD
    bad = [found for _ in range(300) for found in judge_starts([pairs(rng, n=n, harm=harm) for _ in range(4)])]
    assert sum(found.verdict == "no harm seen" for found in bad) <= 0.02 * len(bad)


def test_a_recipe_that_does_harm_lends_its_spread_to_no_harmless_one() -> None:
    """Its seeds lie far apart, and nobody else's do."""
    rng = np.random.default_rng(6)
    harmless = pairs(rng, n=3)
    apart = [one for harm in (0.5, 1.0, 1.5) for one in pairs(rng, n=1, harm=harm)]
    alone, *_ = judge_starts([harmless])
    beside, *_ = judge_starts([harmless, apart, apart, apart])
    assert (beside.estimate, beside.margin) == (alone.estimate, alone.margin)
    assert alone.verdict == beside.verdict == "no harm seen"


def test_comparisons_of_networks_with_other_losses_are_one_family_in_units_of_the_fall() -> None:
    rng = np.random.default_rng(5)
    small, large = pairs(rng, n=3), pairs(rng, n=3)
    scaled = [Pair(reference=100 * p.reference, recipe=100 * p.recipe) for p in large]
    one, other = judge_starts([small, large]), judge_starts([small, scaled])
    assert other[0] == one[0]
    assert other[1].estimate == pytest.approx(100 * one[1].estimate)
    assert other[1].high == pytest.approx(100 * one[1].high)
