"""The ladder of evidence: speed, numbers, start, end. A recipe stands on the highest rung that was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ampbench.visualize.judge.verdict import Verdict

Rung = Literal[1, 2, 3, 4]
NAMES: dict[Rung, str] = {1: "speed", 2: "numbers", 3: "start", 4: "end"}
"""Rung -> its name: what was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What one rung that was measured says of a recipe."""

    rung: Rung
    says: Literal["for", "against", "open"]
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


def evidence_of(verdict: Verdict | None) -> Evidence:
    """Return what was measured of a recipe against the reference; nothing for the reference itself."""
    if verdict is None or not verdict.speed.n:
        return Evidence()
    speed: dict[str, Literal["for", "against", "open"]] = {"faster": "for", "slower": "against", "same": "against"}
    steps = [Step(rung=1, says=speed.get(verdict.speed.verdict, "open"), text=str(verdict.speed))]
    if verdict.start is not None:
        start: dict[str, Literal["for", "against", "open"]] = {"no harm seen": "for", "harmful": "against"}
        steps.append(Step(rung=3, says=start.get(verdict.start.verdict, "open"), text=str(verdict.start)))
    if verdict.accuracy is not None:
        end: dict[str, Literal["for", "against", "open"]] = {"equivalent": "for", "better": "for", "worse": "against"}
        says = end.get(verdict.accuracy.verdict, "open")
        steps.append(Step(rung=4, says=says, text=f"accuracy {verdict.accuracy.verdict}"))
    return Evidence(steps=tuple(steps))
