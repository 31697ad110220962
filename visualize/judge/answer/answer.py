"""The answer for one subject: what to do now, on which evidence, and what could overturn it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ampbench.visualize.judge.answer.answer_text import (
    action_of,
    batch_lines,
    evidence_line,
    gain_line,
    health_line,
    rival_lines,
    settle_line,
    stay_with,
    why_not_settled,
)
from ampbench.visualize.judge.answer.by_machine import elsewhere_line
from ampbench.visualize.judge.answer.cost import training_of
from ampbench.visualize.judge.answer.rounds_run import rounds_line
from ampbench.visualize.judge.answer.settle import Settle
from ampbench.visualize.judge.answer.settling import settle_of
from ampbench.visualize.judge.decision.decision import Decision, compared, decide
from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.judge.decision.wishes import Wishes
from ampbench.visualize.read.frame import Results

Topic = Literal["gain", "evidence", "machines", "rounds", "health", "settle", "why", "also"]
"""What a line of an answer is about; `also`: best against best, equal batch, equal memory, other batch sizes."""

MOST_LINES = 11
"""Below the headline."""
SETTLE = "settle"
MAX_CHARACTERS = 80
"""Of a subject in the name of a file."""
MANY = 3
"""From this number on, subjects with only one recipe each (such as runs of run_one.py) share one answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line below the headline."""

    topic: Topic
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What to do now with one subject on one machine; printed it takes at most 12 lines."""

    subject: str
    machine: str
    """By the name that tells it from the others of its folder."""
    action: Literal["train", "stay", "none"]
    """train: in `recipe`, which is shown to be better; stay: with `recipe`; none: no cell ran to its end."""
    recipe: str
    """Empty if the action is none."""
    batch_size: int | None
    """Where it is best; None if the action is none."""
    headline: str
    """As in `ResNet18 on AMD EPYC, 2 cores: train in bf16 at batch 128.`"""
    lines: tuple[Line, ...] = ()
    settle: Settle | None = None
    settle_path: Path | None = None
    """Where the report writes the experiment file of `settle`."""
    workload: str = ""
    """What was trained, on whichever machine; empty if several share the answer."""


def answers(
    results: Results, standings: Sequence[Standing], wishes: Wishes | None = None, *, to: Path | None = None
) -> list[Answer]:
    """Return an answer for each subject; `MANY` or more subjects with only one recipe share one.

    Args:
        results: of a folder.
        standings: of these results.
        wishes: of the reader.
        to: the folder that the report is written to; by default that of the results.
    """
    wishes = wishes or Wishes()
    names = settle_names(results.subjects)
    found, lone = [], []
    for subject in results.subjects:
        own = results.where(subject=subject)
        rows = [row for row in standings if row.subject == subject]
        decision = decide(compared(own.ok), rows, wishes, results.own_batches)
        if decision.base and len({row.recipe for row in rows}) == 1:
            lone.append(len(found))
        found.append(_answer(own, decision, wishes, (to or results.folder) / names[subject]))
    if len(lone) < MANY:
        return found
    first = found[lone[0]]
    machine = " / ".join(dict.fromkeys(found[i].machine for i in lone))
    shared = Answer(
        subject=f"{len(lone)} of {len(found)} subjects",
        machine=machine,
        action="stay",
        recipe=first.recipe,
        batch_size=None,
        headline=f"{len(lone)} of {len(found)} subjects on {machine}: stay with what they were trained in; of "
        "each only one recipe was run, so there is nothing to compare it with.",
    )
    return [one for i, one in enumerate(found) if i not in lone] + [shared]


def settle_names(subjects: Sequence[str]) -> dict[str, str]:
    """Return subject -> the name of the file that would settle what is open: a file each, where there are several."""
    if len(subjects) == 1:
        return {subjects[0]: f"{SETTLE}.toml"}
    names: dict[str, str] = {}
    for subject in subjects:
        stem = f"{SETTLE}-{re.sub(r'[^A-Za-z0-9_.]+', '_', subject)[:MAX_CHARACTERS]}"
        taken = sum(name.lower().startswith(stem.lower()) for name in names.values())
        names[subject] = f"{stem}_{taken + 1}.toml" if taken else f"{stem}.toml"
    return names


def _answer(results: Results, decision: Decision, wishes: Wishes, path: Path) -> Answer:
    subject, cells = results.subjects[0], compared(results.ok)
    named = next(iter(results.cells["measured_on"]), "")  # then the subject names its machine
    machine = named or " / ".join(cells["machine"].dropna().unique())
    chosen, base = decision.chosen, decision.base
    lines: list[Line] = []
    nearest = chosen or next(iter(decision.contenders), None)
    if chosen:
        lines.append(Line(topic="gain", text=gain_line(cells, decision, training_of(results.cells, wishes.epochs))))
    if nearest:
        of = "" if chosen else f" of {nearest.recipe}"
        lines.append(Line(topic="evidence", text=evidence_line(nearest.standing, of)))
    at = nearest.batch_size if nearest else base.batch_size if base else None
    if elsewhere := elsewhere_line(results, at):
        lines.append(Line(topic="machines", text=elsewhere))
    if rounds := rounds_line(results, decision):
        lines.append(Line(topic="rounds", text=rounds))
    if health := health_line(decision):
        lines.append(Line(topic="health", text=health))
    settle = settle_of(results, decision, wishes)
    if settle:
        lines.append(Line(topic="settle", text=settle_line(settle, path)))
    elif words := why_not_settled(decision):
        lines.append(Line(topic="settle", text=words))
    lines += [Line(topic="also", text=text) for text in (*rival_lines(cells, decision), *batch_lines(cells, decision))]
    where = f"{subject} on {machine}" if machine and not named else subject
    return Answer(
        subject=subject,
        machine=machine,
        action=decision.action,
        recipe=chosen.recipe if chosen else stay_with(decision) if decision.action == "stay" else "",
        batch_size=chosen.batch_size if chosen else base.batch_size if base and decision.action == "stay" else None,
        headline=f"{where}: {action_of(decision, wishes)}.",
        lines=tuple(lines[:MOST_LINES]),
        settle=settle,
        settle_path=path if settle else None,
        workload=str(results.cells["workload"].iloc[0]),
    )
