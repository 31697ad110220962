"""Study S4's signs of success: stable memory, a falling loss, 85 % by epoch 30, a learning rate on plan, no error."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ampbench.schema.diagnosis.board import LEAST_EPOCHS, SETTLING, memory_grows
from ampbench.schema.diagnosis.found import Records
from ampbench.schema.diagnosis.training import STILL, loss_grew
from ampbench.schema.memory import MIB

STUDY_DATA, STUDY_ACCURACY, STUDY_EPOCH = "cifar10", 0.85, 30
"""What S4 expects of a training of CIFAR-10; of other data only what [measure] target_accuracy asks for."""

OFF_PLAN = 1e-6
"""Share by which a learning rate may differ from the planned one: a checkpoint and a scheduler round differently."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """One sign of success of a training."""

    name: str
    """As in `stable memory`."""
    holds: bool | None
    """None if it was not measured, or it is too early to say."""
    words: str
    """What was seen, without a full stop."""

    def __str__(self) -> str:
        return f"{self.name}: {ANSWERS[self.holds]}{f' ({self.words})' if self.words else ''}"


ANSWERS = {True: "yes", False: "no", None: "not known"}
"""`holds` -> its word."""


def signs_of(run: Records) -> tuple[Sign, ...]:
    """Return the signs of success of a training, in S4's order; none of a cell that was only timed."""
    if run.count("epochs") is None:
        return ()
    return (_memory(run), _loss(run), *_target(run), _rate(run), _no_error(run))


def _memory(run: Records) -> Sign:
    _, levels = run.curve("memory_bytes")
    levels = levels[SETTLING:]
    if len(levels) < LEAST_EPOCHS or run.of("num_resumes"):
        return Sign(name="stable memory", holds=None, words=f"it takes {SETTLING + LEAST_EPOCHS} epochs in one process")
    low, high = (f"{value / MIB:,.0f}" for value in (min(levels), max(levels)))
    words = f"{low} MiB" if low == high else f"{low} to {high} MiB"
    return Sign(name="stable memory", holds=memory_grows(run) is None, words=words)


def _loss(run: Records) -> Sign:
    _, losses = run.curve("train_loss")
    if len(losses) < 2 or not all(map(math.isfinite, (losses[0], losses[-1]))):
        return Sign(name="falling loss", holds=None, words="it takes two epochs")
    fell = losses[0] - losses[-1] >= STILL * abs(losses[0]) and loss_grew(run) is None
    return Sign(name="falling loss", holds=fell, words=f"{losses[0]:.3g} to {losses[-1]:.3g}")


def _target(run: Records) -> tuple[Sign, ...]:
    """Return the sign of an accuracy: the one that was asked for by the last epoch, or S4's by its epoch 30."""
    asked, epochs = run.of("target_accuracy"), int(run.of("epochs"))
    if asked is None and run.of("data") != STUDY_DATA:
        return ()
    target, by = (STUDY_ACCURACY, STUDY_EPOCH) if asked is None else (float(asked), epochs)
    name = f"{100 * target:g} % by epoch {by}"
    seen, accuracies = run.curve("test_accuracy")
    reached = next((epoch for epoch, one in zip(seen, accuracies, strict=True) if one >= target), None)
    if reached is not None:
        return (Sign(name=name, holds=reached <= by, words=f"in epoch {reached}"),)
    if not accuracies:
        return (Sign(name=name, holds=None, words="not evaluated"),)
    words = f"{100 * max(accuracies):.1f} % in {seen[-1]} epochs"
    return (Sign(name=name, holds=None if seen[-1] < by else False, words=words),)


def _rate(run: Records) -> Sign:
    rates, planned = (dict(zip(*run.curve(c), strict=True)) for c in ("learning_rate", "planned_learning_rate"))
    both = sorted(rates.keys() & planned.keys())
    if not both:
        return Sign(name="learning rate on plan", holds=None, words="the plan was not recorded")
    off = [epoch for epoch in both if abs(rates[epoch] - planned[epoch]) > OFF_PLAN * abs(planned[epoch])]
    words = f"{rates[off[0]]:.3g} in epoch {off[0]}, planned {planned[off[0]]:.3g}" if off else ""
    return Sign(name="learning rate on plan", holds=not off, words=words or f"in {len(both)} epochs")


def _no_error(run: Records) -> Sign:
    status, failed = str(run.of("status")), run.of("passes_failed")
    words = "" if status == "ok" and not failed else str(failed) if status == "ok" else status
    return Sign(name="no error", holds=status == "ok" and not failed, words=words)
