"""Columns of a record about what the network learned, and from which images."""

from __future__ import annotations

from ampbench.bench.store.columns.column import FLAG, INT, REAL, TEXT, Column

ACCURACY: tuple[Column, ...] = (
    Column(
        "test_accuracy",
        REAL,
        "",
        "test accuracy",
        "Share of the test images after the final epoch; chance if the run diverged",
    ),
    Column(
        "best_test_accuracy",
        REAL,
        "",
        "best test accuracy",
        "Over the epochs: chosen on the test set, so no estimate of accuracy",
    ),
    Column("best_epoch", INT, "", "best epoch", "From 1; the first that had the best test accuracy"),
    Column("train_loss", REAL, "", "training loss", "Mean over the final epoch's steps, as in epochs"),
    Column(
        "train_accuracy",
        REAL,
        "",
        "training accuracy",
        "Of the final epoch, over its training images augmented as they were met, as in epochs",
    ),
    Column(
        "test_loss",
        REAL,
        "",
        "test loss",
        "Mean over the images of cross-entropy, or of the model's own loss, after the final epoch",
    ),
    Column(
        "macro_precision",
        REAL,
        "",
        "macro precision",
        "Mean over classes after the final epoch, scikit-learn's zero_division=0",
    ),
    Column("macro_recall", REAL, "", "macro recall", "Likewise"),
    Column("macro_f1", REAL, "", "macro F1", "Likewise"),
    Column(
        "learned",
        FLAG,
        "",
        "learned",
        "Whether the final accuracy, or the mean recall where classes differ in size, is above guessing by more than 3 "
        "of guessing's standard deviations; null if not evaluated, or if the training did not end",
    ),
    Column(
        "accuracy_swing",
        REAL,
        "",
        "swing of the accuracy",
        "Share of the test images lost from one evaluation to the next, mean over the last 4 or the later half; "
        "null with fewer than 3",
    ),
    Column(
        "loss_growth", REAL, "", "growth of the loss", "Training loss of the final epoch over the lowest of any epoch"
    ),
    Column(
        "learning_note",
        TEXT,
        "",
        "note on the learning",
        "That nothing was learned, that the accuracy swings or the loss grew, in words; null if none of it",
    ),
    Column("model_note", TEXT, "", "note on the model", "What gave way in a pretrained one, as its head; else null"),
    Column(
        "model_output",
        TEXT,
        "",
        "output of the model",
        "What it returned in step 1 and what was taken of it; null where that is a tensor of logits",
    ),
    Column("num_parameters", INT, "", "parameters", "Trainable"),
    Column("num_train_images", INT, "", "training images", "In the data set"),
    Column("num_test_images", INT, "", "test images", "In the data set"),
    Column("num_classes", INT, "", "classes", "In the data set"),
    Column("data_sha256", TEXT, "", "data checksum", "Over the decoded pixels and labels of both splits"),
    Column(
        "num_left_out", INT, "", "files left out", "Of a folder's splits, because they are no image that Pillow reads"
    ),
    Column(
        "data_note", TEXT, "", "note on the data", "Which files were left out and why, what the test set is; or null"
    ),
)
