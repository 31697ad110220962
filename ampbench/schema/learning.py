"""What the network learned."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One evaluation of the test set: of an epoch, or of the last one."""

    test_accuracy: float | None = column(
        "",
        "test accuracy",
        "Share of the test images after the final epoch; chance if the run diverged",
    )
    test_loss: float | None = column(
        "",
        "test loss",
        "Mean over the images of cross-entropy, or of the model's own loss, after the final epoch",
    )
    macro_precision: float | None = column(
        "",
        "macro precision",
        "Mean over classes after the final epoch, scikit-learn's zero_division=0",
    )
    macro_recall: float | None = column("", "macro recall", "Likewise")
    macro_f1: float | None = column("", "macro F1", "Likewise")


@dataclass(frozen=True, kw_only=True, slots=True)
class LastEpoch:
    """The training set in the final epoch."""

    train_loss: float | None = column("", "training loss", "Mean over the final epoch's steps, as in epochs")
    train_accuracy: float | None = column(
        "",
        "training accuracy",
        "Of the final epoch, over its training images augmented as they were met, as in epochs",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BestEpoch:
    """The best evaluation, and the first that reached the target."""

    best_test_accuracy: float | None = column(
        "",
        "best test accuracy",
        "Over the epochs: chosen on the test set, so no estimate of accuracy",
    )
    best_epoch: int | None = column("", "best epoch", "From 1; the first that had the best test accuracy")
    target_accuracy: float | None = column("", "target accuracy", "[measure] target_accuracy")
    time_to_accuracy_s: float | None = column(
        "s",
        "time to accuracy",
        "Training time until [measure] target_accuracy was first reached",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """What the curves of one training say; `ampbench.schema.learned` judges them."""

    learned: bool | None = column(
        "",
        "learned",
        "Whether the final accuracy, or the mean recall where classes differ in size, is above guessing by "
        "more than 3 of guessing's standard deviations; null if not evaluated, or if the training did not end",
    )
    accuracy_swing: float | None = column(
        "",
        "swing of the accuracy",
        "Share of the test images lost from one evaluation to the next, mean over the last 4 or the later "
        "half; null with fewer than 3",
    )
    loss_growth: float | None = column(
        "",
        "growth of the loss",
        "Training loss of the final epoch over the lowest of any epoch",
    )
    learning_note: str | None = column(
        "",
        "note on the learning",
        "That nothing was learned, that the accuracy swings or the loss grew, in words; null if none of it",
    )
