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

SWING = 0.04
"""Accuracy lost on average from one evaluation to the next: the accuracy of a training that loses more swings."""

Z_SWING = 2.0
"""A swing is also larger than so many standard deviations of an accuracy measured on a test set of this size."""

LEAST_EVALUATIONS = 3
"""With fewer evaluations, the mean is that of a single fall."""

LATE = 4
"""The last evaluations are judged, so many or the later half: early in a training every accuracy jumps."""

REGAINED = 0.5
"""Share of its earlier decrease by which the training loss has risen again."""

GREW = 1.1
"""Last training loss over that of the first epoch."""


def course_of(
    accuracies: Sequence[float],
    losses: Sequence[float],
    *,
    num_classes: int,
    num_images: int,
    macro_recall: float | None = None,
) -> Course:
    """Judge a training by its curves.

    Args:
        accuracies: share of the test images classified correctly, of each evaluation in order.
        losses: mean training loss of each epoch.
        num_classes: among which a guess chooses.
        num_images: in the test set.
        macro_recall: of the last evaluation; used instead of the accuracy where classes differ in size.
    """
    learned = None
    if accuracies:
        found = accuracies[-1] if macro_recall is None else macro_recall
        learned = is_above_guessing(found, num_classes, num_images)
    finite = [loss for loss in losses if math.isfinite(loss)]  # a step that was skipped may leave infinity in a mean
    swing, growth = swing_of(accuracies), growth_of(finite)
    notes, moves = [], []
    if learned is False:
        moves.append("try another learning rate, more epochs or another precision")
        chance, noise = guessing(num_classes, num_images)
        share = f"{100 * accuracies[-1]:.2f} % of the test images"
        if macro_recall is not None and is_above_guessing(accuracies[-1], num_classes, num_images):
            share += f", but {100 * macro_recall:.2f} % of a class on average"  # classes differ in size
        notes.append(
            f"learned nothing: {share}, and guessing among {num_classes} classes gets {100 * chance:.2f} ± "
            f"{100 * Z_GUESSING * noise:.2f} %"
        )
    swings, rose = swing is not None and swing > least_swing(accuracies, num_images), loss_rose(finite)
    if swings or rose:
        moves = ["a smaller learning rate is the first thing to try"]
    if swing is not None and swings:
        listed = " ".join(f"{100 * accuracy:.1f}" for accuracy in accuracies[-8:])
        notes.append(f"test accuracy swings: {listed} %, it loses {100 * swing:.1f} points an evaluation on average")
    if rose:
        lowest = min(finite)
        notes.append(
            f"training loss grew: {finite[-1]:.3g} in the last epoch, {lowest:.3g} in epoch {losses.index(lowest) + 1}"
        )
    note = "; ".join(notes + moves) if notes else None
    return Course(learned=learned, accuracy_swing=swing, loss_growth=growth, learning_note=note)


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


def swing_of(accuracies: Sequence[float]) -> float | None:
    """Return the accuracy lost from one evaluation to the next, mean over the later evaluations.

    Only falls count: a curve that rises to its end has none, a curve that goes up and down has many.
    Study S4 names 45.2, 38.9, 51.3, 33.1 % as its example of a training that oscillates: 8.2 points.
    """
    if len(accuracies) < LEAST_EVALUATIONS:
        return None
    late = accuracies[-max(LATE, math.ceil(len(accuracies) / 2)) :]
    return sum(max(0.0, before - after) for before, after in itertools.pairwise(late)) / (len(late) - 1)


def least_swing(accuracies: Sequence[float], num_images: int) -> float:
    """Return the swing above which the sampling noise of the test set, a binomial share's, does not explain it."""
    mean = sum(accuracies) / len(accuracies)
    return max(SWING, Z_SWING * math.sqrt(mean * (1 - mean) / num_images))


def growth_of(losses: Sequence[float]) -> float | None:
    """Return the last loss over the lowest; 1 where the last is the lowest."""
    return losses[-1] / min(losses) if len(losses) > 1 and min(losses) > 0 else None


def loss_rose(losses: Sequence[float]) -> bool:
    """Return whether the loss ended well above its first value, or rose again by half of its earlier decrease.

    Warm restarts of the learning rate raise it too, by less.
    """
    if len(losses) < LEAST_EVALUATIONS:
        return False
    first, lowest, last = losses[0], min(losses), losses[-1]
    came_down = first - lowest
    back = came_down > (GREW - 1) * abs(first) and last - lowest > REGAINED * came_down
    return back or last - first > (GREW - 1) * abs(first)
