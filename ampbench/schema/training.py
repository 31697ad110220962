"""What was trained: the images and the network, as they are before the first step."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """The data set of a cell."""

    num_train_images: int | None = column("", "training images", "In the data set")
    num_test_images: int | None = column("", "test images", "In the data set")
    num_classes: int | None = column("", "classes", "In the data set")
    data_sha256: str | None = column("", "data checksum", "Over the decoded pixels and labels of both splits")
    num_left_out: int | None = column(
        "",
        "files left out",
        "Of a folder's splits, because they are no image that Pillow reads",
    )
    data_note: str | None = column(
        "",
        "note on the data",
        "Which files were left out and why, what the test set is; or null",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """The network and the process that trains it."""

    num_parameters: int | None = column("", "parameters", "Trainable")
    model_note: str | None = column(
        "",
        "note on the model",
        "What gave way in a pretrained one, as its head; else null",
    )
    model_output: str | None = column(
        "",
        "output of the model",
        "What it returned in step 1 and what was taken of it; null where that is a tensor of logits",
    )
    optimizer_dtypes: str | None = column("", "optimizer dtypes", "Of the parameters that the optimizer updates")
    fp32_precision: str | None = column(
        "",
        "fp32 precision",
        "Effective torch fp32_precision of CUDA matmul, conv, rnn and CPU products",
    )
    onednn_used: bool | None = column(
        "",
        "oneDNN",
        "Whether a CPU's convolutions and products were oneDNN's, not torch's own; null on a GPU",
    )
    threads_used: int | None = column("", "threads", "torch.get_num_threads() in the worker")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How images and 4-d weights were laid out."""

    channels_last_used: bool | None = column(
        "",
        "NHWC",
        "Whether images and 4-d weights were laid out NHWC in memory: false, too, where the model could not do with it",
    )
    layout_note: str | None = column(
        "",
        "why not NHWC",
        "What the first step said to it; null where the cell's layout was used",
    )
