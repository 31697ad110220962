"""The ladder of evidence: speed, numbers, start, end. A recipe stands on the highest rung that was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ampbench.visualize.judge.verdict.numbers import Numbers
from ampbench.visualize.judge.verdict.verdict import Verdict
from ampbench.visualize.read.words import count

Rung = Literal[1, 2, 3, 4]
Says = Literal["for", "against", "open"]
NAMES: dict[Rung, str] = {1: "speed", 2: "numbers", 3: "start", 4: "end"}
"""Rung -> its name: what was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What one rung that was measured says of a recipe."""

    rung: Rung
    says: Says
    text: str
    """A few words, as in `no layer loses gradients`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """The rungs that were measured of a recipe, from the lowest up."""

    steps: tuple[Step, ...] = ()

    @property
    def highest(self) -> Step | None:
        """The highest rung that was measured."""
        return self.steps[-1] if self.steps else None

    @property
    def against(self) -> Step | None:
        """The first rung that speaks against the recipe."""
        return next((step for step in self.steps if step.says == "against"), None)


def evidence_of(verdict: Verdict | None, numbers: Numbers | None = None) -> Evidence:
    """Return what was measured of a recipe against the reference; nothing for the reference itself.

    Args:
        verdict: on its speed, the start of its trainings and its accuracy.
        numbers: what the samples of its layers say.
    """
    steps = []
    if verdict and verdict.speed.n:
        speed: dict[str, Says] = {"faster": "for", "slower": "against", "same": "against"}
        says = speed.get(verdict.speed.verdict, "open")
        steps.append(Step(rung=1, says=says, text=f"{count(verdict.speed.n, 'run', 'runs')} each"))
    if numbers:
        steps.append(Step(rung=2, says=numbers.says, text=str(numbers)))
    if verdict and verdict.start and not verdict.start.too_short:
        harm: dict[str, Says] = {"no harm seen": "for", "harmful": "against"}
        steps.append(Step(rung=3, says=harm.get(verdict.start.verdict, "open"), text=str(verdict.start)))
    if verdict and verdict.accuracy and verdict.accuracy.n:
        steps.append(Step(rung=4, says=_end(verdict), text=_accuracy_words(verdict)))
    return Evidence(steps=tuple(steps))


def _one_loses(verdict: Verdict) -> bool:
    """Whether one seed shows a harm that the mean over the seeds hides."""
    found, seeds = verdict.accuracy, verdict.seeds
    return bool(found and seeds and found.verdict == "can't tell" and seeds.one_loses(found.margin))


def _end(verdict: Verdict) -> Says:
    """Return what full trainings say; a loss beyond the margin that noise may explain speaks against a recipe too."""
    found = verdict.accuracy
    assert found is not None, "only asked where accuracies are compared"
    if found.verdict in ("equivalent", "better"):
        return "for"
    lost = found.verdict == "worse" or found.estimate < -found.margin or _one_loses(verdict)
    return "against" if lost else "open"


def _accuracy_words(verdict: Verdict) -> str:
    """Return the verdict on an accuracy in words that need no statistics."""
    found, each = verdict.accuracy, verdict.seeds
    assert found is not None, "only asked where accuracies are compared"
    seeds = count(found.n, "seed", "seeds")
    if found.verdict == "equivalent":
        return f"as accurate within {found.margin:g} points in {seeds}"
    change = f"{abs(found.estimate):.1f} points of test accuracy"
    if found.verdict in ("worse", "better"):
        return f"{'loses' if found.verdict == 'worse' else 'gains'} {change} in {seeds}"
    span = f", {each.span}" if each and each.differ(found.margin) else ""
    if found.estimate < -found.margin:
        return f"seems to lose {change} in {seeds}{span}"
    if each and _one_loses(verdict):
        return f"one of {seeds} loses {-each.lowest:.1f} points of test accuracy{span}"
    return f"accuracy not settled: {round(found.estimate, 1) + 0.0:+.1f} points in {seeds}{span}"
