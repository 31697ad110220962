"""What the network learned."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One evaluation on the test set: after an epoch, or after the final one."""

    test_accuracy: float | None = column(
        "",
        "test accuracy",
        "Share of the test images classified correctly after the final epoch; chance if the run diverged",
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
    macro_recall: float | None = column("", "macro recall", "Mean over classes after the final epoch")
    macro_f1: float | None = column("", "macro F1", "Mean over classes after the final epoch")


@dataclass(frozen=True, kw_only=True, slots=True)
class LastEpoch:
    """The training set in the final epoch."""

    train_loss: float | None = column("", "training loss", "Mean over the final epoch's steps, as in epochs")
    train_accuracy: float | None = column(
        "",
        "training accuracy",
        "Share of the augmented training images of the final epoch classified correctly in training, as in epochs",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BestEpoch:
    """The best evaluation, and the first that reached the target."""

    best_test_accuracy: float | None = column(
        "",
        "best test accuracy",
        "Highest of all epochs; it is chosen on the test set, so it is not an estimate of accuracy",
    )
    best_epoch: int | None = column("", "best epoch", "First epoch with the best test accuracy, from 1")
    target_accuracy: float | None = column("", "target accuracy", "[measure] target_accuracy")
    time_to_accuracy_s: float | None = column(
        "s",
        "time to accuracy",
        "Training time until [measure] target_accuracy was first reached",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """What the curves of one training show, as `ampbench.schema.learned` judges them."""

    learned: bool | None = column(
        "",
        "learned",
        "Whether the final accuracy, or the mean recall where classes differ in size, is above that of "
        "guessing by more than 3 standard deviations; null if not evaluated, or if the training did not end",
    )
    accuracy_swing: float | None = column(
        "",
        "swing of the accuracy",
        "Accuracy lost from one evaluation to the next, mean over the last 4 evaluations or the later half; null "
        "with fewer than 3",
    )
    loss_growth: float | None = column(
        "",
        "growth of the loss",
        "Training loss of the final epoch over the lowest of all epochs",
    )
    learning_note: str | None = column(
        "",
        "note on the learning",
        "Says that nothing was learned, that the accuracy swings or that the loss grew; null if none is true",
    )
