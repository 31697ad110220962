"""The verdict on each recipe against the reference: speed, accuracy and memory, or why there is none.

The cells of a pair share `group_id`, round and environment: they differ only in the precision and ran on the same
machine. All comparisons of one folder are one family, so a matrix of many recipes needs stronger evidence than a single
comparison. `visualize.compare` judges its two sides here too, as if they were two recipes.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import pandas as pd

from ampbench.visualize.judge.outliers import Outlier
from ampbench.visualize.judge.pairs import effect_of, point_differences
from ampbench.visualize.judge.unpaired import Unpaired
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.read.words import count
from ampbench.visualize.stats import statistics
from ampbench.visualize.stats.effect import Effect
from ampbench.visualize.stats.start import Start
from ampbench.visualize.stats.statistics import Difference, Ratio

REFERENCE = "fp32"


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
    """Steady peak over that of the reference; None if unknown or of two instruments."""
    energy: Ratio | None = None
    """Joules per image over those of the reference, by pairs; None if unknown or of two instruments."""
    family: str = ""
    """What its alpha is shared with, as in `all 12 comparisons on AMD EPYC by method 4`."""
    num_looks: int = 1
    """At how many numbers of pairs, this one included, the question was asked: they share alpha too."""
    unpaired: Unpaired | None = None
    """Processes that form no pair; None if all do."""
    outliers: tuple[Outlier, ...] = ()
    """Processes of either recipe whose speed lies far from that of their siblings."""

    @property
    def memory_saved_share(self) -> float:
        """Of the reference's steady peak; negative if it needs more, NaN if unknown."""
        return math.nan if self.memory is None else 1 - self.memory.estimate

    @property
    def too_coarse(self) -> bool:
        """Whether one test image counts for more than half the margin: such a test set cannot show equivalence."""
        return (
            self.accuracy is not None
            and self.num_test_images is not None
            and self.num_test_images < images_that_decide(self.accuracy.margin)
        )

    @property
    def keeps_accuracy(self) -> bool:
        """Whether the accuracy is equivalent, better or not measured, and no replicate failed."""
        kept = self.accuracy is None or self.accuracy.verdict in ("equivalent", "better")
        return kept and not self.num_failed

    @property
    def why_open(self) -> str:
        """Why the accuracy is undecided, and what would decide; empty if it is decided or was not measured."""
        d = self.accuracy
        if d is None or d.verdict != "can't tell":
            return ""
        if self.too_coarse and self.num_test_images:
            return (
                f"one of {self.num_test_images:,} test images counts for {100 / self.num_test_images:.2f} points, "
                f"with a margin of {d.margin:g}, so equivalence needs {images_that_decide(d.margin):,} images or more"
            )
        more = f"about {d.more} more seeds" if d.more else "no affordable number of seeds"
        return f"{d} after {count(d.n, 'seed', 'seeds')}; {more} would decide"


def judge(cells: pd.DataFrame, *, unpaired: bool = False) -> list[Verdict]:
    """Compare every recipe with the reference of its subject and batch size, as one family.

    Args:
        cells: `Results.cells`.
        unpaired: compare the speeds of all processes where there are fewer than two pairs.
    """
    drafts: list[tuple[Verdict, Effect, list[float]]] = []
    for (subject, batch_size), rows in cells.groupby(["subject", "batch_size"], sort=True):
        ok = rows[rows["status"] == "ok"]
        reference = reference_of(ok)
        for recipe in in_order(ok["recipe"]):
            if recipe == reference:
                continue
            speed = effect_of(ok, reference, recipe, unpaired=unpaired)
            points = point_differences(ok, reference, recipe)
            lost = rows[~rows["status"].isin(["ok", "excluded", "unsupported"])]["recipe"]
            num_test_images = _first_int(ok["num_test_images"])
            draft = Verdict(
                subject=str(subject),
                batch_size=int(str(batch_size)),
                recipe=recipe,
                reference=reference,
                speed=statistics.judge_ratio(speed),
                accuracy=statistics.compare_accuracy(points) if points else None,
                num_test_images=num_test_images,
                num_ok=int((ok["recipe"] == recipe).sum()),
                num_failed=int((lost == recipe).sum()),
                num_reference_failed=int((lost == reference).sum()),
                memory=_ratio(ok, reference, recipe, "steady_peak_bytes", "memory_instrument"),
                energy=_ratio(ok, reference, recipe, "joules_per_image", "energy_instrument"),
            )
            drafts.append((draft, speed, points))
    alphas = statistics.holm([speed.p_difference for _, speed, _ in drafts])
    grains = [100 / v.num_test_images if v.num_test_images else 0.0 for v, _, _ in drafts]
    tested = [(points, grain) for (_, _, points), grain in zip(drafts, grains, strict=True)]
    differences = statistics.holm([statistics.p_difference(p, grain) for p, grain in tested])
    equivalences = statistics.holm([statistics.p_equivalence(p, least_sd=grain) for p, grain in tested])
    verdicts = []
    for i, (draft, speed, points) in enumerate(drafts):
        verdict = dataclasses.replace(draft, speed=statistics.judge_ratio(speed, alphas[i]))
        if points:
            accuracy = statistics.compare_accuracy(
                points,
                alpha_equivalence=equivalences[i],
                alpha_difference=differences[i],
                resolution=grains[i],
            )
            verdict = dataclasses.replace(verdict, accuracy=accuracy)
            # A small test set cannot show equivalence or a small difference, but it can show a large one.
            large = accuracy.verdict in ("better", "worse") and abs(accuracy.estimate) > accuracy.margin + 2 * grains[i]
            if verdict.too_coarse and not large:
                verdict = dataclasses.replace(
                    verdict, accuracy=dataclasses.replace(accuracy, verdict="can't tell", more=None)
                )
        verdicts.append(verdict)
    return verdicts


def images_that_decide(margin: float) -> int:
    """Return the size of a test set whose single image is at most half the margin (in points)."""
    return math.ceil(200 / margin)


def reference_of(ok: pd.DataFrame) -> str:
    """Return `fp32` if a cell of it is there, else the first recipe; an empty string if there is none."""
    names = in_order(ok["recipe"])
    return REFERENCE if REFERENCE in names else next(iter(names), "")


def _ratio(ok: pd.DataFrame, a: str, b: str, column: str, instrument: str) -> Ratio | None:
    """Return the ratio b / a of a column that one instrument measured; None without one."""
    if column not in ok or instrument not in ok:
        return None
    own = ok[ok["recipe"].isin([a, b]) & ok[column].notna()]
    if own[instrument].nunique() != 1:
        return None
    effect = effect_of(own, a, b, column, unpaired=True)
    return statistics.judge_ratio(effect) if effect.n else None


def _first_int(column: pd.Series) -> int | None:
    known = column.dropna()
    return int(known.iloc[0]) if len(known) else None
