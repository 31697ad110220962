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
        "Files of an image folder that Pillow does not read as an image",
    )
    data_note: str | None = column(
        "",
        "note on the data",
        "Which files were left out and why, and what the test set is; or null",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """The network and the process that trains it."""

    num_parameters: int | None = column("", "parameters", "Trainable")
    model_note: str | None = column(
        "",
        "note on the model",
        "What was replaced in a pretrained model, such as its head, and which weights it uses and does not register",
    )
    model_output: str | None = column(
        "",
        "output of the model",
        "What it returned in step 1 and which part of it was used; null where it returned a tensor of logits",
    )
    optimizer_dtypes: str | None = column("", "optimizer dtypes", "Dtypes of the parameters that the optimizer updates")
    fp32_precision: str | None = column(
        "",
        "fp32 precision",
        "Effective torch fp32_precision of CUDA matmul, conv and rnn, and of matrix products on the CPU",
    )
    onednn_used: bool | None = column(
        "",
        "oneDNN",
        "Whether oneDNN computed a CPU's convolutions and matrix products, not torch itself; null on a GPU",
    )
    threads_used: int | None = column("", "threads", "torch.get_num_threads() in the worker")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How images and 4-d weights were laid out."""

    channels_last_used: bool | None = column(
        "",
        "NHWC",
        "Whether images and 4-d weights were laid out NHWC in memory; false also where the model does not support it",
    )
    layout_note: str | None = column(
        "",
        "why not NHWC",
        "Error of the first step in NHWC; null where the cell's layout was used",
    )
