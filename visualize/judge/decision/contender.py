"""A recipe at one batch size as a candidate for the advice: whether it is better, and what stands against it."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.visualize.judge.concern import Claim, Concern
from ampbench.visualize.judge.decision.gain import Told
from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.judge.decision.wishes import Want
from ampbench.visualize.stats.statistics import Ratio

RESTS_ON: dict[Want, Claim] = {
    "speed": "speed",
    "memory": "memory",
    "energy": "energy",
    "time-to-accuracy": "time",
}
"""What the reader wants -> the claim that the advice rests on."""
HARM: frozenset[Claim] = frozenset({"numbers", "start", "accuracy"})
"""Claims that no harm is done; an advice rests on each of them that was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """A recipe other than the reference, at one batch size."""

    standing: Standing
    told: Told
    """By the wish, against the reference at its best batch size, and at the same one."""
    ratio: Ratio
    """Of the wish's column, over the reference at its best batch size."""
    speed: Ratio
    """Images a second, over the same."""
    against: str
    """Why it is not advised even if it is better, as in `loses 2.0 points of test accuracy`; empty if nothing is."""

    @property
    def recipe(self) -> str:
        """Its name."""
        return self.standing.recipe

    @property
    def batch_size(self) -> int:
        """Images a step."""
        return self.standing.batch_size

    @property
    def advisable(self) -> bool:
        """Whether it is shown to be better and nothing stands against it."""
        return self.told == "better" and not self.against


def against_of(standing: Standing, references: list[Standing], want: Want) -> str:
    """Say what stands against a recipe, its speed left aside; empty if nothing does.

    Args:
        standing: of the recipe.
        references: where the reference stands that it is compared with, at the same batch size and at its best one.
        want: what the reader chooses by.
    """
    for found in (standing, *references):
        if concern := spoiling(found.concerns, want):
            return f"{found.recipe}'s numbers are spoiled: {concern.text}"
    harm = next((step for step in standing.evidence.steps if step.says == "against" and step.rung > 1), None)
    if harm:
        return harm.text
    # What was excluded or is unsupported did not fail: it was never started.
    failed = standing.verdict.num_failed if standing.verdict else standing.measured.num_cells - standing.measured.n
    if failed:
        return f"{failed} of {standing.measured.num_cells} runs did not end well ({standing.measured.status})"
    learned = any(found.measured.test_accuracy is not None for found in references)
    if learned and standing.measured.test_accuracy is None:
        return "its test accuracy is missing, although that of the reference is known"
    return ""


def spoiling(concerns: tuple[Concern, ...], want: Want) -> Concern | None:
    """Return the first concern that spoils a claim which the advice rests on."""
    rests_on = HARM | {RESTS_ON[want]}
    return next((concern for concern in concerns if concern.spoils & rests_on), None)
