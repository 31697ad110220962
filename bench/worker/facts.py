"""What is known of a cell before the first step: its images, and its network as built."""

from __future__ import annotations

import torch
from torch import Tensor

from ampbench.bench.train.images.images import Images
from ampbench.bench.train.precision.precision import fp32_precision
from ampbench.bench.train.statuses import Interrupted
from ampbench.bench.train.training import Training
from ampbench.schema.training import Data, Network


def data_of(images: Images) -> Data:
    """Return the record's columns of the data set."""
    return Data(
        num_train_images=len(images.train_y_N),
        num_test_images=len(images.test_y_N),
        num_classes=images.num_classes,
        data_sha256=images.sha256,
        num_left_out=images.num_left_out,
        data_note=images.note,
    )


def network_of(training: Training) -> Network:
    """Return the record's columns of the model, the optimizer and torch's switches."""
    updated = sorted({str(p.dtype).removeprefix("torch.") for p in training.updated.values()})
    return Network(
        num_parameters=training.num_parameters,
        model_note=note_of(training.model),
        optimizer_dtypes=" ".join(updated),
        fp32_precision=" ".join(f"{k}:{v}" for k, v in fp32_precision().items()),
        onednn_used=None if training.device.type == "cuda" else torch.backends.mkldnn.enabled,
        threads_used=torch.get_num_threads(),
    )


def note_of(model: object) -> str | None:
    """Return the text of a model's attribute `note`; None where it is not text, such as a layer of that name."""
    try:
        note = getattr(model, "note", None)
        return None if note is None or callable(note) or isinstance(note, Tensor) else str(note)
    except Interrupted:
        raise
    except BaseException:  # a property or a __str__ of the model may raise anything, and end the process
        return None
