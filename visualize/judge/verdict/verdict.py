"""The verdict on each recipe against the reference: speed, memory, energy and accuracy, or why there is none.

The cells of a pair differ only in the precision and ran under the same conditions (`pairs`). All comparisons of one
folder on one machine by one method are one family (`stats.family`): they share what they know of the noise, and a
matrix of many recipes needs stronger evidence than a single comparison. Tables, figures and sentences all take their
numbers from here, so they agree. `visualize.compare` judges its two sides here too, as if they were two recipes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ampbench.schema.margins import LEAST_TEST_IMAGES, MARGIN_POINTS
from ampbench.visualize.judge.runs.outliers import Outlier
from ampbench.visualize.judge.runs.seeds import Seeds
from ampbench.visualize.judge.runs.unpaired import Unpaired
from ampbench.visualize.judge.verdict.draft import Draft, families_of
from ampbench.visualize.judge.verdict.looks import Looks, read_looks
from ampbench.visualize.judge.verdict.start import Compared, starts_of
from ampbench.visualize.read.frame import Results
from ampbench.visualize.stats import statistics
from ampbench.visualize.stats.effect import Effect
from ampbench.visualize.stats.family import LEAST_SD, Family
from ampbench.visualize.stats.start import Start
from ampbench.visualize.stats.statistics import Change, Difference, Ratio


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One recipe against the reference, for one subject and batch size."""

    subject: str
    batch_size: int
    recipe: str
    reference: str
    """`fp32` if a cell of it ran to its end, else the first recipe with one."""
    speed: Ratio
    accuracy: Difference | None
    """None if one of the two was only timed."""
    seeds: Seeds | None = None
    """The accuracy seed by seed; None as above."""
    start: Start | None = None
    """The first steps of paired trainings; None where there are none."""
    num_test_images: int | None
    num_ok: int
    """Cells of the recipe that ran to their end."""
    num_failed: int
    """Cells of the recipe that were started and did not run to their end, for example because they diverged."""
    num_reference_failed: int
    """Cells of the reference that were started and did not run to their end."""
    memory: Ratio | None = None
    """Peak over that of the reference; None if unknown or of two instruments."""
    energy: Ratio | None = None
    """Joules per image over those of the reference, by pairs; None if unknown or of two instruments."""
    missing_reference: str = ""
    """Why fp32 is not the reference although it was started, as in `no cell of fp32 ran to its end (3 throttled)`."""
    family: str = ""
    """What its alpha is shared with, as in `all 12 comparisons on AMD EPYC by method 4`."""
    look: tuple[str, int] = ("", 0)
    """What was asked, on one line, and with how many pairs, as `Looks` counts it."""
    num_looks: int = 1
    """At how many numbers of pairs, this one included, the question was asked: they share its alpha."""
    unpaired: Unpaired | None = None
    """Processes that form no pair; None if all do."""
    outliers: tuple[Outlier, ...] = ()
    """Processes of either recipe whose speed lies far from that of their siblings."""

    @property
    def too_coarse(self) -> bool:
        """Whether one test image counts for more than half the margin: such a test set cannot show equivalence."""
        return self.accuracy is not None and (self.num_test_images or LEAST_TEST_IMAGES) < images_that_decide(
            self.accuracy.margin
        )


def verdicts_of(results: Results, *, margin: float = MARGIN_POINTS) -> list[Verdict]:
    """Return the verdicts of a folder that concern the cells of these results.

    They are those of the whole folder that was read: a part of it, as a figure draws it, is judged as a member of the
    same family, and so in the same words. Judged once for a folder, whoever asks.
    """
    memory = results.judged
    if margin not in memory:
        looks = dataclasses.replace(read_looks(results.folder), are_planned=results.plan.is_adaptive)
        found = judge(results.whole, looks=looks, margin=margin)
        whole = results if results.cells is results.whole else dataclasses.replace(results, cells=results.whole)
        starts = starts_of(whole, [Compared(v.subject, v.batch_size, v.reference, v.recipe) for v in found])
        memory[margin] = [dataclasses.replace(v, start=start) for v, start in zip(found, starts, strict=True)]
    here = set(zip(results.cells["subject"], results.cells["batch_size"], results.cells["recipe"], strict=True))
    return [v for v in memory[margin] if (v.subject, v.batch_size, v.recipe) in here]


def judge(
    cells: pd.DataFrame,
    *,
    unpaired: bool = False,
    looks: Looks | None = None,
    margin: float = MARGIN_POINTS,
    whose: str = "of this folder",
) -> list[Verdict]:
    """Compare every recipe with the reference of its subject and batch size.

    Args:
        cells: `Results.cells`.
        unpaired: compare the speeds of all processes where there are fewer than two pairs.
        looks: that were taken before at these comparisons; by default none.
        margin: loss of accuracy, in points, that counts as equivalent.
        whose: comparisons the family has, for its name.
    """
    verdicts = []
    for where, drafts in families_of(cells, unpaired=unpaired):
        name = f"all {len(drafts)} comparisons {whose} on {where}" if len(drafts) > 1 else f"one comparison on {where}"
        verdicts += _judged(drafts, name, looks or Looks(), margin)
    return sorted(verdicts, key=lambda v: (v.subject, v.batch_size))


def _judged(drafts: Sequence[Draft], name: str, looks: Looks, margin: float) -> list[Verdict]:
    """Judge the comparisons of one family."""
    nums = [looks.num(*d.look) for d in drafts]
    shares = looks.shares(nums)
    lends = tuple(d.lends for d in drafts)
    speeds = _ratios([d.speed for d in drafts], name, shares, lends, "faster", "slower", LEAST_SD)
    memories = _ratios([d.memory for d in drafts], name, shares, (), "more", "less")
    energies = _ratios([d.energy for d in drafts], name, shares, (), "more", "less", LEAST_SD)
    accuracies = _differences(drafts, name, shares, margin)
    return [
        Verdict(
            subject=d.subject,
            batch_size=d.batch_size,
            recipe=d.recipe,
            reference=d.reference,
            speed=speeds[i] or statistics.judge_ratio(d.speed),
            accuracy=accuracies[i],
            seeds=d.seeds,
            num_test_images=d.num_test_images,
            num_ok=d.num_ok,
            num_failed=d.num_failed,
            num_reference_failed=d.num_reference_failed,
            memory=memories[i],
            energy=energies[i],
            missing_reference=d.missing_reference,
            family=name,
            look=d.look,
            num_looks=nums[i],
            unpaired=d.unpaired,
            outliers=d.outliers,
        )
        for i, d in enumerate(drafts)
    ]


def _ratios(
    effects: Sequence[Effect | None],
    name: str,
    shares: Sequence[float],
    lends: tuple[bool, ...],
    up: Change,
    down: Change,
    least_sd: float = 0.0,
) -> list[Ratio | None]:
    """Judge the ratios of a family; None stays None."""
    known = [i for i, effect in enumerate(effects) if effect is not None]
    family = Family(
        name=name,
        effects=tuple(effect for effect in effects if effect is not None),
        lends=tuple(lends[i] for i in known) if lends else (),
        least_variance=(least_sd**2,) * len(known),
    )
    alphas = family.alphas(lambda effect: effect.p_difference, [shares[i] for i in known])
    found: list[Ratio | None] = [None] * len(effects)
    for i, effect, alpha in zip(known, family.shrunken, alphas, strict=True):
        found[i] = statistics.judge_ratio(effect, alpha, up=up, down=down)
    return found


def _differences(drafts: Sequence[Draft], name: str, shares: Sequence[float], margin: float) -> list[Difference | None]:
    """Judge the accuracies of a family; None where one of the two was only timed."""
    known = [i for i, d in enumerate(drafts) if d.points is not None]
    family = Family(
        name=name,
        effects=tuple(d.points for d in drafts if d.points is not None),
        least_variance=tuple(drafts[i].grain ** 2 for i in known),
    )
    looks = [shares[i] for i in known]
    differences = family.alphas(lambda effect: effect.p_difference, looks)
    equivalences = family.alphas(lambda effect: effect.p_equivalence(margin), looks)
    found: list[Difference | None] = [None] * len(drafts)
    for k, (i, effect) in enumerate(zip(known, family.shrunken, strict=True)):
        accuracy = statistics.judge_difference(
            effect, margin=margin, alpha_equivalence=equivalences[k], alpha_difference=differences[k]
        )
        # A small test set cannot show equivalence or a small difference, but it can show a large one.
        large = accuracy.verdict in ("better", "worse") and abs(accuracy.estimate) > margin + 2 * drafts[i].grain
        num = drafts[i].num_test_images or LEAST_TEST_IMAGES
        if num < images_that_decide(margin) and not large:
            accuracy = dataclasses.replace(accuracy, verdict="can't tell", more=None)
        found[i] = accuracy
    return found


def images_that_decide(margin: float) -> int:
    """Return the size of a test set whose single image is at most half the margin (in points)."""
    return math.ceil(200 / margin)
