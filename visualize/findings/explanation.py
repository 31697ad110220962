"""What an explanation is: why one recipe is not faster, not smaller, or not finite, from another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.words import count

Topic = Literal["step time", "memory", "numbers"]
QUESTIONS: dict[Topic, str] = {
    "step time": "why not faster",
    "memory": "why not smaller",
    "numbers": "why NaN",
}
"""Topic -> the question that people ask about it."""
LEAST_SHOWN = 0.01
"""In ms, MiB or %: less is written as 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One kind of work, of memory, or one layer, under both recipes."""

    label: str
    a: float
    b: float

    @property
    def change(self) -> float:
        """What recipe B has more of it than A; negative if less."""
        return self.b - self.a


@dataclass(frozen=True, kw_only=True, slots=True)
class Waterfall:
    """The way from recipe A's total to recipe B's, kind by kind."""

    title: str
    unit: str
    """Of all values: ms, MiB, or % of a layer's gradient."""
    a: str
    """The recipe it starts from."""
    b: str
    bars: tuple[Bar, ...]
    sums: bool = True
    """Whether the bars sum to a total; the layers of a network do not."""
    method: str = ""
    """How it was measured, and over how many processes."""

    @property
    def total_a(self) -> float:
        """Sum over the kinds under recipe A."""
        return sum(bar.a for bar in self.bars)

    @property
    def total_b(self) -> float:
        """Sum over the kinds under recipe B."""
        return sum(bar.b for bar in self.bars)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """The answer to one of the three questions, for one subject and batch size."""

    topic: Topic
    subject: str
    batch_size: int
    a: str
    """The recipe that B is compared with."""
    b: str
    sentence: str
    next_move: str
    """What to change or to measure next; empty if there is nothing."""
    waterfall: Waterfall | None = None
    """None if its columns were not measured; the sentence then says which, and the next move how."""

    @property
    def question(self) -> str:
        """As in `why not faster`."""
        return QUESTIONS[self.topic]

    @property
    def place(self) -> str:
        """As in `ResNet18 at batch 128: bf16 against fp32`."""
        return f"{self.subject} at batch {self.batch_size}: {self.b} against {self.a}"


def explained(
    topic: Topic, results: Results, a: str, b: str, said: tuple[str, str], found: Waterfall | None
) -> Explanation:
    """Return an explanation of recipe B by recipe A, of one subject and batch size.

    Args:
        topic: of the question.
        results: of one subject and batch size.
        a: the recipe that B is compared with.
        b: the recipe that is explained.
        said: the sentence, and the next move.
        found: the waterfall; None where its columns were not measured.
    """
    (subject,), (batch_size,) = results.subjects, results.batch_sizes
    sentence, move = said
    return Explanation(
        topic=topic, subject=subject, batch_size=batch_size, a=a, b=b, sentence=sentence, next_move=move,
        waterfall=found,
    )  # fmt: skip


def finished(results: Results, recipe: str) -> pd.DataFrame:
    """Return the cells of a recipe that ran to their end."""
    return results.ok[results.ok["recipe"] == recipe]


def processes(results: Results, a: str, b: str) -> str:
    """Return over how many processes two recipes were measured, as in `fp32: 3 processes, bf16: 1 process`."""
    return ", ".join(f"{r}: {count(len(finished(results, r)), 'process', 'processes')}" for r in (a, b))


def median_of(cells: pd.DataFrame, column: str) -> float | None:
    """Return the median of a column over cells; None if it is missing or empty."""
    known = cells[column].dropna() if column in cells else pd.Series(dtype=float)
    return float(known.median()) if len(known) else None


def listed(shares: Mapping[str, float], least: float) -> str:
    """Return `normalisation 22 %, optimizer 9 %` of shares from the largest, without those below `least`."""
    large = sorted(((name, share) for name, share in shares.items() if share >= least), key=lambda item: -item[1])
    return ", ".join(f"{name} {percent(share)}" for name, share in large)


def percent(share: float) -> str:
    """Return `22 %` of 0.22."""
    return f"{100 * share:.0f} %"


def signed(value: float) -> str:
    """Return a change with its sign; 0 without one."""
    return "0" if abs(value) < LEAST_SHOWN else f"{'+' if value > 0 else '-'}{amount(abs(value))}"


def amount(value: float) -> str:
    """Return a number with three digits, or whole where it is larger; below a hundredth of the unit 0."""
    return f"{value:,.0f}" if abs(value) >= 100 or abs(value) < LEAST_SHOWN else f"{value:.3g}"
