"""The stage `batch`: the batch size that all recipes are compared at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ampbench.bench.auto.advice.session import Session
from ampbench.bench.auto.batch_size import find_batch
from ampbench.bench.store.image_cache import num_training_images
from ampbench.schema.choices import Choice

SHARE = 0.3
"""Of the time that is left; the rest is for the recipes."""
LEAST_S = 30.0
"""Below it the rule of study S4 decides: a few trials of a few seconds each find no knee."""
MOST_SEARCHED = 2
"""Recipes whose batch size is searched: the reference, and the one that is likeliest to win."""


def batch(session: Session, recipes: Sequence[str], rule: Choice) -> bool:
    """Choose a batch size; return whether there is one.

    Args:
        session: the advice.
        recipes: to be compared later, the reference first, the likeliest winner second.
        rule: the batch size by the machine's memory alone, where there is no time to measure.

    Raises:
        RequestError: no batch size fits, or a trial failed for another reason than memory.
    """
    given = session.request.fixed.get("batch_size")
    if given is not None:
        session.choose(Choice(field="batch_size", value=given, reason="given", by="user"))
    elif "batch_size" in session.choices and session.has_begun("speed"):
        session.say(f"  batch_size: {session.choices['batch_size'].value}, as before: the recipes are timed at it")
    elif session.clock.left_s < LEAST_S:
        session.choose(session.choices.get("batch_size") or _within(session, rule))
    else:
        session.choose(*_searched(session, recipes[:MOST_SEARCHED], rule))
    return session.choices["batch_size"].value is not None


def _searched(session: Session, recipes: Sequence[str], rule: Choice) -> tuple[Choice, ...]:
    """Search the knee of each recipe; the batch size for all is the largest of the knees that fits every recipe.

    Where the time was over before a knee was seen, the rule decides; a later call goes on with the search.
    """
    found = find_batch(
        session.asked,
        recipes,
        folder=session.folder,
        options=session.quiet,
        console=session.console,
        minutes=SHARE * session.clock.left_s / 60,
        max_memory_bytes=session.request.max_memory_bytes,
    )
    knees = [one for one in found if one.field == "batch_size"]
    limits = [_size(one) for one in found if one.field == "largest_batch_size" and _size(one)]
    usable = [one for one in knees if _size(one) and all(_size(one) <= limit for limit in limits)]
    if not any(map(_size, knees)):
        by_rule = _within(session, rule)
        return (*found, replace(by_rule, reason=f"{by_rule.reason}; {knees[0].reason}"))
    best = max(usable, key=_size, default=knees[0])
    reason = best.reason if len(knees) == 1 else f"{best.reason} (in {best.subject})"
    chosen = Choice(field="batch_size", value=best.value, reason=reason, evidence=best.evidence, by="measurement")
    return (*found, chosen)


def _within(session: Session, rule: Choice) -> Choice:
    """Return the rule's batch size, or all training images where they are fewer."""
    number = num_training_images(session.request.data)
    if number is None or number >= _size(rule):
        return rule
    return replace(rule, value=number, reason=f"all training images; by the rule {rule.value}: {rule.reason}")


def _size(choice: Choice) -> int:
    return choice.value if isinstance(choice.value, int) else 0
