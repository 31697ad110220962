"""The columns of `epochs`: one row per epoch."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column, given


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRow:
    """An epoch of a training."""

    epoch: int = given("", "epoch", "From 1")
    learning_rate: float | None = column("", "learning rate", "Of the optimizer, at the epoch's last step")
    planned_learning_rate: float | None = column(
        "", "planned learning rate", "What the cell's schedule says of that step"
    )
    memory_bytes: int | None = column(
        "bytes",
        "memory after the epoch",
        "In use after the epoch's last step, before its evaluation, by `memory_instrument`: a level, not a peak",
    )
    train_loss: float | None = column(
        "",
        "training loss",
        "Mean over the epoch's steps; with several GPUs, over the images of the first",
    )
    train_accuracy: float | None = column(
        "",
        "training accuracy",
        "Share of the epoch's training images, of all GPUs, that the network classified correctly in training: "
        "augmented, before the update of their step, with the trained weights and not their EMA; null if its "
        "outputs are not logits",
    )
    train_s: float | None = column("s", "training time", "Since the first step, evaluation off the clock")
    epoch_train_s: float | None = column("s", "training time of the epoch", "Of this epoch's steps alone")
    epoch_evaluation_s: float | None = column(
        "s", "evaluation time", "Of this epoch's evaluation; null if not evaluated"
    )
    wall_images_per_s: float | None = column(
        "images/s",
        "throughput by wall time",
        "Images of the epoch's blocks over their wall time; warm-up and blocks with skipped steps count too",
    )
    num_skipped: int | None = column("", "skipped steps", "In this epoch")
    loss_scale_factor: float | None = column("", "loss scale", "After the epoch; null without a scaler")
    test_accuracy: float | None = column("", "test accuracy", "Share of the test images; null if not evaluated")
    test_loss: float | None = column("", "test loss", "Mean cross-entropy over the test images; null if not evaluated")
    macro_precision: float | None = column("", "macro precision", "Mean over classes; null if not evaluated")
    macro_recall: float | None = column("", "macro recall", "Mean over classes; null if not evaluated")
    macro_f1: float | None = column("", "macro F1", "Mean over classes; null if not evaluated")
