"""Which recipes may still become the advice and are not told apart from the reference: a next round is for them.

A recipe drops out when it is told to be faster, slower or the same, when something stands against it that further
rounds would only measure again, or when its whole interval lies below that of the recipe that is advised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ampbench.visualize.judge.answer.answer_text import why_none
from ampbench.visualize.judge.decision.contender import Contender
from ampbench.visualize.judge.decision.decision import REFERENCES, Decision, compared, decide
from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.judge.decision.wishes import Wishes
from ampbench.visualize.judge.phrases import in_short
from ampbench.visualize.read.frame import Results
from ampbench.visualize.stats.statistics import interval

MOST_NAMED = 4
"""Recipes that a line of progress names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Undecided:
    """What one subject's next rounds are for."""

    subject: str
    words: str
    """As in `bf16 1.8x as fast as fp32; open: tf32 1.02x [0.97, 1.07]`."""
    contenders: tuple[frozenset[str], ...]
    """Of each recipe and batch size that is open, the ids of its cells; none if all is decided."""
    references: tuple[frozenset[str], ...]
    """Of each contender, the ids of the cells that it is compared with."""


def undecided(results: Results, standings: Sequence[Standing]) -> list[Undecided]:
    """Return what is open of each subject, by the default wish.

    Args:
        results: of a whole folder.
        standings: of these results.
    """
    found = []
    for subject in results.subjects:
        own = results.where(subject=subject)
        rows = [row for row in standings if row.subject == subject]
        decision = decide(compared(own.ok), rows, Wishes(), results.own_batches)
        going = open_of(decision)
        found.append(
            Undecided(
                subject=subject,
                words=_words(decision, going),
                contenders=tuple(_ids(own, one.standing) for one in going),
                references=tuple(_compared_with(own, decision, one) for one in going),
            )
        )
    return found


def open_of(decision: Decision) -> list[Contender]:
    """Return the contenders of which further rounds would tell whether to train in them, the best first."""
    if decision.reference not in REFERENCES:
        return []  # 16 bits vouch for nothing, however fast
    return [one for one in decision.contenders if _is_open(one, decision.chosen)]


def _is_open(one: Contender, chosen: Contender | None) -> bool:
    if one.told != "open" or one.against or not one.speed.n:
        return False
    if one.speed.verdict in ("slower", "same"):  # than the reference at its best batch size
        return False
    return chosen is None or not one.speed.high < chosen.speed.low


def _compared_with(own: Results, decision: Decision, one: Contender) -> frozenset[str]:
    """Return the ids of the reference's cells at a contender's batch size and at the reference's best one."""
    cells, sizes = own.cells, {one.batch_size, decision.base.batch_size if decision.base else one.batch_size}
    return frozenset(cells.loc[(cells["recipe"] == decision.reference) & cells["batch_size"].isin(sizes), "cell_id"])


def _ids(own: Results, row: Standing) -> frozenset[str]:
    cells = own.cells
    return frozenset(cells.loc[(cells["recipe"] == row.recipe) & (cells["batch_size"] == row.batch_size), "cell_id"])


def _words(decision: Decision, going: Sequence[Contender]) -> str:
    if decision.base is None:
        return f"{why_none(decision)}, so no round would decide anything"
    if decision.reference not in REFERENCES:
        return f"no run of {' or '.join(REFERENCES)} ended well, so no round would decide anything"
    several = len({one.batch_size for one in decision.contenders} | {decision.base.batch_size}) > 1
    settled = [one for one in decision.contenders if one not in going]
    parts = []
    if settled:
        named = [f"{_name(one, several)} {in_short(one.speed, decision.reference)}" for one in settled[:MOST_NAMED]]
        parts.append(_listed(named, len(settled)))
    if going:
        named = [
            f"{_name(one, several)} {one.speed.estimate:.2f}x {interval(one.speed.low, one.speed.high)}"
            for one in going[:MOST_NAMED]
        ]
        parts.append(f"open: {_listed(named, len(going))}")
    return "; ".join(parts) or "no other recipe ran to its end"


def _name(one: Contender, several: bool) -> str:
    return f"{one.recipe} at batch {one.batch_size}" if several else one.recipe


def _listed(named: Sequence[str], num: int) -> str:
    return ", ".join(named) + (f" and {num - len(named)} more" if num > len(named) else "")
