"""The answer for one subject: what to do now, on which evidence, and what could overturn it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ampbench.visualize.judge.recommendation import recommend
from ampbench.visualize.judge.standing import Standing
from ampbench.visualize.judge.wishes import Wishes
from ampbench.visualize.read.frame import Results

Topic = Literal["gain", "evidence", "health", "settle", "also"]
"""What a line of an answer is about; `also`: best against best, equal batch, equal memory, other batch sizes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line below the headline."""

    topic: Topic
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Settle:
    """The experiment that would decide what is open."""

    toml: str
    """The text of a file that run_matrix.py runs."""
    num_trainings: int
    hours: float | None
    """About; None if no time is known."""
    decides: str
    """As in `accuracy within 0.3 points`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What to do now with one subject on one machine; printed it takes at most 12 lines."""

    subject: str
    machine: str
    action: Literal["train", "stay", "none"]
    """train: in `recipe`, which is told to be better; stay: with the reference; none: no cell ran to its end."""
    recipe: str
    batch_size: int | None
    headline: str
    """As in `ResNet18 on AMD EPYC, 2 cores: train in bf16 at batch 128.`"""
    lines: tuple[Line, ...] = ()
    settle: Settle | None = None


def answers(results: Results, standings: Sequence[Standing], wishes: Wishes | None = None) -> list[Answer]:
    """Return an answer for each subject."""
    del wishes
    machine = " / ".join(results.ok["machine"].dropna().unique())
    verdicts = [standing.verdict for standing in standings if standing.verdict]
    return [
        Answer(
            subject=found.subject,
            machine=machine,
            action="train" if found.sentence.startswith("Train") else "stay",
            recipe="",
            batch_size=None,
            headline=found.sentence,
        )
        for found in recommend(results.cells, verdicts)
    ]
