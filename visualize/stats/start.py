"""The verdict on the start of a training: from losses to an estimate, a margin and a verdict, without frames or files.

Two trainings of one seed start from the same weights and see the same images in the same order, so the difference of
their losses is the recipe's doing. d is that difference over the last tenth of the steps, one value per seed. It is
held against the *margin*, which is what another seed does to the reference's own loss:

    harmful         the mean of d lies above the margin, by a one-sided t-test; or a loss is not finite
    no harm seen    it lies below the margin, by the other one-sided test (non-inferiority)
    can't tell      neither, or the reference learned too little to vouch for anything

The reference vouches only if its own loss fell by more than two margins: then a recipe that learns nothing would have
shown as harmful (ICH E10, 2000, section 1.5, "assay sensitivity").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from ampbench.schema.start import tail_of
from ampbench.visualize.stats.family import holm, prior_df
from ampbench.visualize.stats.statistics import Floats

StartVerdict = Literal["no harm seen", "harmful", "can't tell"]

LEAST_STEPS = 50
"""With fewer steps nothing is told: the last tenth would be less than five."""
LEAST_FALL = 2.0
"""Margins by which the reference's loss must have fallen."""
SAME_SHARE = 0.01
"""Of the reference's fall: a smaller difference counts as none, as a speed within 1 % counts as the same."""
LEAST_SD = 1e-9
"""Of the margin: the spread of differences that are all equal, as in a bit-equal repetition."""
NOISE_STEPS = 20
"""Fewest steps that the noise of a single step is estimated from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """The first losses of two trainings of one seed, step by step; one that ended early is shorter."""

    reference: Floats
    recipe: Floats
    has_learned: bool = True
    """Whether the reference classified its last tenth better than chance; True where that is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Training loss of a recipe minus that of the reference, over the last tenth of the first steps."""

    verdict: StartVerdict
    num_steps: int
    """Steps that both took, in every pair."""
    n: int
    """Pairs: seeds, of which both recipes saw the same images from the same weights."""
    estimate: float = math.nan
    """Mean over the pairs; NaN where nothing was compared."""
    low: float = math.nan
    high: float = math.nan
    """One-sided limits, each at its own alpha; NaN with fewer than two pairs."""
    margin: float = math.nan
    """What another seed does to the reference's loss; NaN with fewer than two pairs."""
    fall: float = math.nan
    """What the reference's loss fell by: mean over the first tenth minus that over the last."""
    from_step: int | None = None
    """Step from which the recipe stays beyond the margin, or has a loss that is not finite; None without harm."""
    because: str = ""
    """Why nothing can be told, or how it does harm, in words; empty where the numbers say it."""

    @property
    def too_short(self) -> bool:
        """Whether this is only what a short timing left behind: nobody asked about the start."""
        return self.verdict == "can't tell" and self.num_steps < LEAST_STEPS

    def __str__(self) -> str:
        why = f": {self.because}" if self.because else ""
        if self.verdict == "harmful":
            return f"harmful from step {self.from_step:,}{why}"
        if self.verdict == "no harm seen":
            return f"no harm seen in {self.num_steps:,} steps"
        return f"can't tell from {self.num_steps:,} steps{why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sample:
    """What was measured of one recipe, before the other comparisons are asked what they know of its spread."""

    d_N: Floats
    """One difference per pair."""
    least_sd: float
    """What the images of the last tenth alone do to d: two values may be equal by chance."""
    margin: float
    fall: float
    smoothed_T: Floats
    """Mean difference over the tenth of the steps that ends at each step from `tail` on."""
    num_steps: int

    def judged(self, sd: float, df: float, alpha_harm: float, alpha_safe: float) -> Start:
        mean, se = float(self.d_N.mean()), sd / math.sqrt(len(self.d_N))
        low, high = (
            mean + side * float(stdtrit(df, 1 - alpha)) * se for side, alpha in ((-1, alpha_harm), (1, alpha_safe))
        )
        verdict: StartVerdict = (
            "harmful" if low > self.margin else "no harm seen" if high < self.margin else "can't tell"
        )
        within = np.flatnonzero(self.smoothed_T <= self.margin)
        first = int(within[-1]) + 1 if len(within) else 0
        return Start(
            verdict=verdict,
            num_steps=self.num_steps,
            n=len(self.d_N),
            estimate=mean,
            low=low,
            high=high,
            margin=self.margin,
            fall=self.fall,
            from_step=tail_of(self.num_steps) + first if verdict == "harmful" else None,
            because=f"loss {mean:+.2g}, margin {self.margin:.2g}" if verdict == "can't tell" else "",
        )

    def p_values(self, sd: float, df: float) -> tuple[float, float]:
        """Return the one-sided p-values of 'd is at most the margin' and 'd is at least the margin'."""
        beyond, se = float(self.d_N.mean()) - self.margin, sd / math.sqrt(len(self.d_N))
        return float(stdtr(df, -beyond / se)), float(stdtr(df, beyond / se))


def judge_starts(comparisons: Sequence[Sequence[Pair]]) -> list[Start]:
    """Judge each recipe from its pairs, all of them as one family: they share their variances and alpha.

    The variances are shared in units of the reference's fall, by which losses of different networks are comparable.
    """
    found = [_measured(pairs) for pairs in comparisons]
    samples = {i: sample for i, sample in enumerate(found) if isinstance(sample, _Sample)}
    spreads = dict(zip(samples, _spreads(list(samples.values())), strict=True))
    p_values = [sample.p_values(*spreads[i]) for i, sample in samples.items()]
    harms = dict(zip(samples, holm([p for p, _ in p_values]), strict=True))
    safes = dict(zip(samples, holm([p for _, p in p_values]), strict=True))
    return [
        one.judged(*spreads[i], harms[i], safes[i]) if isinstance(one, _Sample) else one for i, one in enumerate(found)
    ]


def _spreads(samples: Sequence[_Sample]) -> list[tuple[float, float]]:
    """Return standard deviation and degrees of freedom of each comparison's d.

    Recipes share their variances with those on their side of the margin: where a recipe does harm, its seeds lie apart
    by many times what rounding does to a harmless one.
    """
    own = [float(s.d_N.var(ddof=1)) / s.fall**2 for s in samples]
    beyond = [float(s.d_N.mean()) > s.margin for s in samples]
    found = []
    for i, s in enumerate(samples):
        others = [variance for variance, side in zip(own, beyond, strict=True) if side is beyond[i]]
        d0, df = prior_df(len(others)), len(s.d_N) - 1
        variance = (d0 * float(np.mean(others)) + df * own[i]) / (d0 + df)
        found.append((max(math.sqrt(variance) * s.fall, s.least_sd, LEAST_SD * s.margin), d0 + df))
    return found


def _measured(pairs: Sequence[Pair]) -> Start | _Sample:
    """Return the differences of a recipe's pairs, or the verdict where no arithmetic is needed."""
    sound = [pair for pair in pairs if np.isfinite(pair.reference).all()]
    broken = [step for pair in sound if (step := _broken_step(pair.recipe))]
    num_steps = min((min(len(p.reference), len(p.recipe)) for p in sound), default=0)
    if broken:
        seeds = f"{len(broken)} of {len(sound)} seeds" if len(sound) > 1 else "the one seed"
        said = f"the loss is not finite in {seeds}"
        return Start(verdict="harmful", num_steps=num_steps, n=len(sound), from_step=min(broken), because=said)
    why = ""
    if not sound:
        why = "the reference's own loss is not finite"
    elif num_steps < LEAST_STEPS:
        why = f"{LEAST_STEPS} are the least"
    elif len(sound) < 2:
        why = "one seed has no spread, a second one would decide"
    if why:
        return Start(verdict="can't tell", num_steps=num_steps, n=len(sound), because=why)
    a_NT, b_NT = (
        np.array([x[:num_steps] for x in xs]) for xs in ([p.reference for p in sound], [p.recipe for p in sound])
    )
    tail = tail_of(num_steps)
    ends_N = a_NT[:, -tail:].mean(axis=1)
    fall = float((a_NT[:, :tail].mean(axis=1) - ends_N).mean())
    margin = max(float(ends_N.std(ddof=1)), _image_noise(a_NT, tail), SAME_SHARE * fall)
    if fall <= LEAST_FALL * margin:
        why = f"the reference's loss fell by {max(fall, 0.0):.2g} only, and its seeds differ by {margin:.2g}"
    elif not all(pair.has_learned for pair in sound):
        why = "the reference itself classifies no better than chance"
    if why:
        return Start(verdict="can't tell", num_steps=num_steps, n=len(sound), margin=margin, fall=fall, because=why)
    d_NT = b_NT - a_NT
    sums_T = np.concatenate([[0.0], np.cumsum(d_NT.mean(axis=0))])
    return _Sample(
        d_N=d_NT[:, -tail:].mean(axis=1),
        least_sd=_image_noise(d_NT, tail),
        margin=margin,
        fall=fall,
        smoothed_T=(sums_T[tail:] - sums_T[:-tail]) / tail,
        num_steps=num_steps,
    )


def _broken_step(losses: Floats) -> int | None:
    """Return the first step, from 1, whose loss is not finite; None if all are."""
    bad = np.flatnonzero(~np.isfinite(losses))
    return int(bad[0]) + 1 if len(bad) else None


def _image_noise(x_NT: Floats, tail: int) -> float:
    """Return the standard deviation that the choice of images gives a mean over the last `tail` steps.

    Of single steps by successive differences, which a trend does not enter (von Neumann, 1941, "Distribution of the
    ratio of the mean square successive difference to the variance"). No true spread over seeds is smaller, though two
    seeds may come out equal by chance.
    """
    steps_NT = np.diff(x_NT[:, -max(tail, NOISE_STEPS) :], axis=1)
    return math.sqrt(float((steps_NT**2).mean()) / 2 / tail)
