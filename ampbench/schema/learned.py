"""Whether a training learned anything, and whether it kept what it learned: judged by its curves alone, in words.

The worker writes the judgement into the record; the report judges older records in the same way. It is not a verdict on
a recipe, and no status depends on it: a training whose accuracy swings still ends as `ok`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from ampbench.schema.learning import Course

Z_GUESSING = 3.0
"""Standard deviations above guessing up to which an accuracy may be chance: 1 in 700 guesses lies above."""

SWING = 0.03
"""Accuracy lost on average from one evaluation to the next: the accuracy of a training that loses more swings. An
accuracy that goes up and down by 6 points loses so much; study S4's own example loses 8.2 points."""

Z_SWING = 3.0
"""Standard deviations above what sampling noise alone loses up to which a swing may be noise."""

NOISE_FALL, NOISE_SD = 1 / math.sqrt(math.pi), math.sqrt(1 - 1 / math.pi)
"""Mean and standard deviation of max(0, X - Y) for two independent draws of an accuracy, in standard deviations of one:
X - Y is normal with variance 2, of which the positive part counts."""

REGAINING = 0.3
"""Share of what it loses that an accuracy which swings also regains meanwhile; one that regains less broke down. Two
equal falls with one rise between them regain half."""

LEAST_EVALUATIONS = 3
"""With fewer evaluations, the mean is that of a single fall."""

LATE = 4
"""The last evaluations are judged, so many or the later half: early in a training every accuracy jumps."""

REGAINED = 0.5
"""Share of its earlier decrease by which the training loss has risen again."""

GREW = 1.1
"""Last training loss over that of the first epoch."""

RESTART = 1.5
"""A learning rate over an earlier one from which a schedule has restarted or warms up: what is lost then is planned."""


def course_of(
    accuracies: Sequence[float],
    losses: Sequence[float],
    *,
    num_classes: int,
    num_images: int,
    macro_recall: float | None = None,
    evaluated_rates: Sequence[float] = (),
    rates: Sequence[float] = (),
) -> Course:
    """Judge a training by its curves.

    Args:
        accuracies: share of the test images classified correctly, of each evaluation in order.
        losses: mean training loss of each epoch.
        num_classes: among which a guess chooses.
        num_images: in the test set.
        macro_recall: of the last evaluation; used instead of the accuracy where classes differ in size.
        evaluated_rates: learning rate of the epoch of each evaluation; empty if unknown.
        rates: learning rate of each epoch; empty if unknown.
    """
    learned = None
    if accuracies:
        found = accuracies[-1] if macro_recall is None else macro_recall
        learned = is_above_guessing(found, num_classes, num_images)
    nothing = nothing_learned(accuracies, num_classes, num_images, macro_recall) if learned is False else None
    swings = swing_words(accuracies, num_images, evaluated_rates)
    grew = growth_words(losses, rates)
    moves = [SMALLER_RATE if swings or grew else ANOTHER_RATE]
    notes = [words for words in (nothing, swings, grew) if words]
    finite = [loss for loss in losses if math.isfinite(loss)]  # a step that was skipped may leave infinity in a mean
    return Course(
        learned=learned,
        accuracy_swing=swing_of(accuracies, evaluated_rates),
        loss_growth=growth_of(finite),
        learning_note="; ".join(notes + moves) if notes else None,
    )


ANOTHER_RATE = "try another learning rate, more epochs or another precision"
SMALLER_RATE = "a smaller learning rate is the first thing to try"


def nothing_learned(
    accuracies: Sequence[float], num_classes: int, num_images: int, macro_recall: float | None = None
) -> str:
    """Return the words on a training that is no better than guessing."""
    chance, noise = guessing(num_classes, num_images)
    share = f"{100 * accuracies[-1]:.2f} % of the test images"
    if macro_recall is not None and is_above_guessing(accuracies[-1], num_classes, num_images):
        share += f", but {100 * macro_recall:.2f} % of a class on average"  # classes differ in size
    return (
        f"learned nothing: {share}, and guessing among {num_classes} classes gets {100 * chance:.2f} ± "
        f"{100 * Z_GUESSING * noise:.2f} %"
    )


def swing_words(accuracies: Sequence[float], num_images: int, rates: Sequence[float] = ()) -> str | None:
    """Return the words on a test accuracy that swings or broke down; None if it does neither."""
    swing = swing_of(accuracies, rates)
    if swing is None or swing <= least_swing(accuracies, num_images):
        return None
    listed = " ".join(f"{100 * accuracy:.1f}" for accuracy in accuracies[-8:])
    what = "broke down" if broke_down(accuracies) else "swings"
    return f"test accuracy {what}: {listed} %, it loses {100 * swing:.1f} points an evaluation on average"


def broke_down(accuracies: Sequence[float]) -> bool:
    """Return whether the accuracy that was lost in the later evaluations was hardly regained in them."""
    changes = [then - before for before, then in itertools.pairwise(_late(accuracies))]
    return sum(max(0.0, c) for c in changes) < REGAINING * sum(max(0.0, -c) for c in changes)


def growth_words(losses: Sequence[float], rates: Sequence[float] = ()) -> str | None:
    """Return the words on a training loss that grew; None if it did not."""
    known = rates if len(rates) == len(losses) else [0.0] * len(losses)
    pairs = [(loss, rate) for loss, rate in zip(losses, known, strict=True) if math.isfinite(loss)]
    finite = [loss for loss, _ in pairs]
    if not loss_rose(finite, [rate for _, rate in pairs]):
        return None
    lowest = min(finite)
    return f"training loss grew: {finite[-1]:.3g} in the last epoch, {lowest:.3g} in epoch {losses.index(lowest) + 1}"


def guessing(num_classes: int, num_images: int) -> tuple[float, float]:
    """Return the accuracy of guessing and its standard deviation: of a binomial share over so many images."""
    chance = 1 / num_classes
    return chance, math.sqrt(chance * (1 - chance) / num_images)


def is_above_guessing(accuracy: float, num_classes: int, num_images: int) -> bool:
    """Return whether an accuracy is above what guessing reaches by chance.

    Where classes differ in size, always answering with the largest gives more than 1 / K without any learning. Use the
    balanced accuracy there, the mean recall over classes: it is 1 / K for every constant answer (Brodersen et al.,
    2010, "The balanced accuracy and its posterior distribution", section 2).
    """
    chance, noise = guessing(num_classes, num_images)
    return accuracy > chance + Z_GUESSING * noise


def swing_of(accuracies: Sequence[float], rates: Sequence[float] = ()) -> float | None:
    """Return the accuracy lost from one evaluation to the next, mean over the later evaluations.

    Only falls count: a curve that rises to its end has none, a curve that goes up and down has many. A fall for which
    the schedule raised the learning rate again, a warm restart, is planned and does not count.
    Study S4 names 45.2, 38.9, 51.3, 33.1 % as its example of a training that oscillates: 8.2 points.

    Args:
        accuracies: of each evaluation.
        rates: learning rate of the epoch of each evaluation; empty if unknown.
    """
    if len(accuracies) < LEAST_EVALUATIONS:
        return None
    late = list(itertools.pairwise(_late(accuracies)))
    known = rates if len(rates) == len(accuracies) else [1.0] * len(accuracies)
    kept = [then <= RESTART * before for before, then in itertools.pairwise(_late(known))]
    return sum(max(0.0, before - then) for (before, then), counts in zip(late, kept, strict=True) if counts) / len(late)


def _late(values: Sequence[float]) -> Sequence[float]:
    return values[-max(LATE, math.ceil(len(values) / 2)) :]


def least_swing(accuracies: Sequence[float], num_images: int) -> float:
    """Return the swing above which the sampling noise of the test set, a binomial share's, does not explain it."""
    late = _late(accuracies)
    mean = min(1.0, max(0.0, sum(late) / len(late)))  # of a damaged file it may be anything
    sd = math.sqrt(mean * (1 - mean) / num_images)
    return max(SWING, sd * (NOISE_FALL + Z_SWING * NOISE_SD / math.sqrt(len(late) - 1)))


def growth_of(losses: Sequence[float]) -> float | None:
    """Return the last loss over the lowest; 1 where the last is the lowest."""
    return losses[-1] / min(losses) if len(losses) > 1 and min(losses) > 0 else None


def loss_rose(losses: Sequence[float], rates: Sequence[float] = ()) -> bool:
    """Return whether the loss ended well above its first value, or rose again by half of its earlier decrease.

    Warm restarts of the learning rate raise it too, by less: a loss that rose after one is compared with the first
    value only, where the rates are known.
    """
    if len(losses) < LEAST_EVALUATIONS:
        return False
    first, lowest, last = losses[0], min(losses), losses[-1]
    came_down = first - lowest
    at = list(losses).index(lowest)
    restarted = len(rates) == len(losses) and rates[-1] > RESTART * rates[at]
    back = came_down > (GREW - 1) * abs(first) and last - lowest > REGAINED * came_down
    return (back and not restarted) or last - first > (GREW - 1) * abs(first)
