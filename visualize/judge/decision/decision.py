"""The decision for one subject: the recipe and batch size to train in, or to stay with the reference, and why.

A recipe is advised if it is shown to be better by what the reader wants, and no rung of the ladder that was measured
and no concern stands against it. It has to be better than the reference at the same batch size and, where that is
another one, at the batch size at which the reference is best: else staying and changing the batch size is better.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ampbench.visualize.judge.decision.across import INSTRUMENTS, needed_bytes, ratios_across, values_of
from ampbench.visualize.judge.decision.contender import Contender, against_of
from ampbench.visualize.judge.decision.gain import COLUMNS, Told, gain_of, higher, lower
from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.judge.decision.wishes import Wishes
from ampbench.visualize.judge.runs.pairs import ALIKE, SAME_CELL
from ampbench.visualize.judge.verdict.ladder import NAMES
from ampbench.visualize.read.peaks import STARTUP
from ampbench.visualize.read.plan import OwnBatches
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.stats import statistics
from ampbench.visualize.stats.effect import SAME

REFERENCES = ("fp32", "tf32")
"""Recipes that may vouch for others: 16-bit recipes may all have lost the same accuracy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What to do with one subject."""

    action: Literal["train", "stay", "none"]
    reference: str
    """The recipe that the others are compared with; empty if none ran to its end."""
    base: Standing | None
    """The reference at the batch size at which it is best; None if it ran to its end at none."""
    chosen: Contender | None
    """The recipe to train in."""
    contenders: tuple[Contender, ...]
    """All of them, the best first."""
    own_batches: OwnBatches | None = None
    """How each recipe got its batch size, where trials found it."""
    too_large: tuple[Standing, ...] = ()
    """What ran to its end and is not known to fit the memory that the reader has."""
    ended: tuple[Standing, ...] = ()
    """Where fp32 and tf32 stand if no process of them ran to its end; all recipes, if none did."""

    @property
    def base_fits(self) -> bool:
        """Whether the reader has the memory to stay with the reference: it vouches for others in any case."""
        return self.base not in self.too_large


def compared(ok: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that an answer compares: a small frame is cheap to slice."""
    names = (
        "recipe",
        "batch_size",
        "machine",
        "measured_on",
        *SAME_CELL,
        *ALIKE,
        "environment_id",
        *INSTRUMENTS.values(),
        STARTUP,
        "memory_instrument",
        *COLUMNS.values(),
    )
    return ok[[name for name in dict.fromkeys(names) if name in ok]]


def decide(
    cells: pd.DataFrame, rows: list[Standing], wishes: Wishes, own_batches: OwnBatches | None = None
) -> Decision:
    """Decide for one subject.

    Args:
        cells: of the subject that ran to their end.
        rows: where each recipe of the subject stands.
        wishes: of the reader.
        own_batches: how each recipe got its batch size, where trials found it.
    """
    done = [row for row in rows if row.measured.n]
    too_large = tuple(row for row in done if not _fits(cells, row, wishes))
    ran = [row for row in done if row not in too_large]
    if not ran:
        ended: tuple[Standing, ...] = () if done else tuple(rows)
        return Decision(action="none", reference="", base=None, chosen=None, contenders=(), ended=ended)
    reference = next((name for name in REFERENCES if name in {row.recipe for row in done}), _reference(ran))
    ended = tuple(row for row in rows if row.recipe in REFERENCES and not row.measured.n)
    own = [row for row in ran if row.recipe == reference] or [row for row in done if row.recipe == reference]
    allowed = [row for row in own if _keeps_up(row, own, wishes)] or own  # none keeps up with an infinite speed
    by = dataclasses.replace(wishes, want="speed") if wishes.want == "memory" else wishes
    base = min(allowed, key=lambda row: (-_worth(cells, row, by), row.batch_size))
    others = [row for row in ran if row.recipe != reference]
    theirs = [row for row in rows if row.recipe == reference]
    found = [
        _weighed(one, theirs, rows, found=own_batches is not None)
        for one in _contenders(cells, others, own, base, wishes)
    ]
    # The least memory is the smallest batch's, which nobody asks for: memory is saved at the reference's best batch.
    found.sort(
        key=lambda one: (
            wishes.want == "memory" and one.batch_size != base.batch_size,
            -_worth(cells, one.standing, wishes),
            one.batch_size,
        )
    )
    chosen = next((one for one in found if one.advisable), None) if reference in REFERENCES else None
    errs = reference not in REFERENCES and any(row.measured.status in ("failed", "crashed") for row in ended)
    return Decision(
        action="train" if chosen else "none" if base in too_large or errs else "stay",
        reference=reference,
        base=base,
        chosen=chosen,
        contenders=tuple(found),
        own_batches=own_batches,
        too_large=too_large,
        ended=ended,
    )


def _reference(ran: list[Standing]) -> str:
    names = in_order(row.recipe for row in ran)
    return next((name for name in REFERENCES if name in names), next(iter(names), ""))


def _contenders(
    cells: pd.DataFrame, rows: list[Standing], references: list[Standing], base: Standing, wishes: Wishes
) -> list[Contender]:
    apart = [row for row in rows if row.batch_size != base.batch_size]
    column = COLUMNS[wishes.want]
    across = {
        (row.recipe, row.batch_size): pair
        for row, *pair in zip(
            apart,
            ratios_across(cells, "images_per_s", base, apart),
            ratios_across(cells, column, base, apart),
            strict=True,
        )
    }
    found = []
    for row in rows:
        beside = [one for one in references if one.batch_size == row.batch_size]
        verdict = row.verdict if row.verdict and row.verdict.reference == base.recipe else None
        told: list[Told] = []
        speed = ratio = statistics.compare_speed([])
        if verdict:
            gain = gain_of(cells[cells["batch_size"] == row.batch_size], verdict, wishes.want)
            speed, ratio = verdict.speed, gain.ratio
            told.append(gain.told)
        elif beside:
            told.append("open")  # both ran, and no process of one pairs up with one of the other
        if row in apart:
            speed, ratio = across[row.recipe, row.batch_size]
            told.append(higher(ratio) if wishes.want == "speed" else lower(ratio))
        against = against_of(row, list(dict.fromkeys([*beside, base])), wishes.want)
        against = against or _falls_behind(row, references, wishes)
        found.append(Contender(standing=row, told=_all_of(told), ratio=ratio, speed=speed, against=against))
    return found


def _weighed(one: Contender, theirs: list[Standing], rows: list[Standing], *, found: bool) -> Contender:
    """Return a contender with what its own batch size does not show.

    Args:
        one: the contender.
        theirs: where the reference stands, also where it did not run to its end or does not fit the memory.
        rows: where all recipes stand.
        found: whether trials found each recipe's batch size; then the reference has no use for a larger one than its
            own, which does not fit, or is no faster.
    """
    useless = found and one.batch_size > max(row.batch_size for row in theirs)
    against = one.against or ("" if useless else _without_reference(one, theirs)) or _harm_elsewhere(one, theirs, rows)
    return dataclasses.replace(one, against=against)


def _without_reference(one: Contender, theirs: list[Standing]) -> str:
    """Say that a gain over the reference's best batch size may be that of the batch size; empty if it cannot be.

    A reference that ran out of memory, or fits less than the reader has, cannot use the larger batch; one that was
    not run or was spoiled there might be as fast.
    """
    beside = next((row for row in theirs if row.batch_size == one.batch_size), None)
    if beside and (beside.measured.n or beside.measured.status == "oom"):
        return ""
    name, how = theirs[0].recipe, f" ({beside.measured.status})" if beside else ""
    return f"{name} did not run to its end at batch {one.batch_size}{how}, and may be as fast there"


def _harm_elsewhere(one: Contender, theirs: list[Standing], rows: list[Standing]) -> str:
    """Say what harm a recipe did at another batch size; empty if its own rungs show, as high up, that it does none."""
    shown = max((step.rung for step in one.standing.evidence.steps if step.says == "for"), default=0)
    ran = {row.batch_size for row in theirs if row.measured.n}
    for row in rows:
        if row.recipe != one.recipe or row.batch_size == one.batch_size:
            continue
        if not row.measured.n and row.measured.status == "diverged" and row.batch_size in ran and shown < max(NAMES):
            return f"it diverged at batch {row.batch_size}"
        harm = next((step for step in row.evidence.steps if step.says == "against" and step.rung > 1), None)
        if harm and harm.rung == max(NAMES) and row.accuracy != "worse":
            continue  # among many batch sizes, one seems to lose by chance
        if harm and shown < harm.rung:
            return f"{harm.text} at batch {row.batch_size}"
    return ""


def _all_of(told: list[Told]) -> Told:
    """Return better only if every comparison says so, else the first that does not."""
    return next((one for one in told if one != "better"), "better" if told else "open")


def _fits(cells: pd.DataFrame, row: Standing, wishes: Wishes) -> bool:
    """Whether a recipe is known to fit the memory that the reader has."""
    return wishes.max_memory_bytes is None or needed_bytes(cells, row) <= wishes.max_memory_bytes


def _keeps_up(row: Standing, references: list[Standing], wishes: Wishes) -> bool:
    """Whether the accuracy at this batch size is not below the reference's best by more than the margin.

    Larger batches are faster and may learn less: speed alone would always advise the largest.
    """
    best = max((one.measured.test_accuracy or 0.0 for one in references), default=0.0)
    own = row.measured.test_accuracy
    return own is None or 100 * (best - own) <= wishes.margin_points


def _falls_behind(row: Standing, references: list[Standing], wishes: Wishes) -> str:
    """Say by how much the accuracy is below the reference's best; empty within the margin."""
    if _keeps_up(row, references, wishes) or row.measured.test_accuracy is None:
        return ""
    best = max(references, key=lambda one: one.measured.test_accuracy or 0.0)
    points = 100 * ((best.measured.test_accuracy or 0.0) - row.measured.test_accuracy)
    at = "" if best.batch_size == row.batch_size else f" at batch {best.batch_size}"
    return f"its mean test accuracy is {points:.1f} points below that of {best.recipe}{at}"


def _worth(cells: pd.DataFrame, row: Standing, wishes: Wishes) -> float:
    """Return how good a recipe is by the wish, in steps of 1 %: within them the smaller batch size is preferred."""
    values = values_of(cells, COLUMNS[wishes.want], row)
    if values.empty:
        return -math.inf
    steps = round(math.log(values.median()) / SAME)
    return float(steps if wishes.want == "speed" else -steps)
