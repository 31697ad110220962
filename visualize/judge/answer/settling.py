"""Which question is open for a subject, and the experiment that would settle it."""

from __future__ import annotations

from ampbench.visualize.judge.answer.cost import training_of
from ampbench.visualize.judge.answer.settle import Settle, settle_accuracy, settle_speed
from ampbench.visualize.judge.decision.contender import Contender, spoiling
from ampbench.visualize.judge.decision.decision import Decision
from ampbench.visualize.judge.decision.wishes import Wishes
from ampbench.visualize.read.frame import Results


def settle_of(results: Results, decision: Decision, wishes: Wishes) -> Settle | None:
    """Return the experiment that could overturn the advice; None if nothing is open that trainings or timings settle.

    A recipe that is shown to be better needs its accuracy settled; one that may be better, its speed.
    """
    base, nearest = decision.base, open_contender(decision)
    if base is None or nearest is None:
        return None
    if spoiling((*nearest.standing.concerns, *base.concerns), wishes.want):
        return None  # the same would be measured again: the concern names the next move
    if nearest.told == "open":
        return settle_speed(results.plan, results.cells, base, nearest.standing) if wishes.want == "speed" else None
    verdict = nearest.standing.verdict
    if verdict and verdict.too_coarse:
        return None
    training = training_of(results.cells, wishes.epochs)
    return settle_accuracy(results.plan, results.cells, base, nearest.standing, training, wishes.margin_points)


def open_contender(decision: Decision) -> Contender | None:
    """Return the recipe of which something is open: the advised one, else the most promising; None if all is told."""
    if decision.chosen:
        return decision.chosen if _accuracy_is_open(decision.chosen) else None
    promising = [one for one in decision.contenders if one.told == "better" and _accuracy_is_open(one)]
    undecided = [one for one in decision.contenders if one.told == "open" and not one.against]
    return next(iter(promising + undecided), None)


def _accuracy_is_open(one: Contender) -> bool:
    """Whether full trainings have not told yet whether the recipe is as accurate."""
    verdict = one.standing.verdict
    accuracy = verdict.accuracy if verdict else None
    return accuracy is None or accuracy.verdict == "can't tell"
