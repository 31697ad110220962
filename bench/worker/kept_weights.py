"""The weights that a training kept in its run's folder, evaluated again, on its test set or on another one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.source import check_data
from ampbench.bench.store.run import Run
from ampbench.bench.train.augmentation.augment import NORMALIZATIONS, Normalize
from ampbench.bench.train.evaluation import evaluate, evaluation_batch_size
from ampbench.bench.train.images.images import Images, load_images
from ampbench.bench.train.loss.loss import loss_of
from ampbench.bench.train.network import build_model
from ampbench.bench.train.precision.precision import cast_model, set_up_precision
from ampbench.bench.train.state.checkpoint_file import read_checkpoint
from ampbench.bench.train.statuses import Diverged, Unsupported
from ampbench.schema.files import BEST, FINAL
from ampbench.schema.learning import Evaluation

Kept = dict[str, Any]
"""Content of a file of weights: epoch, test_accuracy, classes, model, and the mean and deviation of the pixels."""


def weights_path(run: Run, typed: Path | None = None) -> Path:
    """Return the file of weights that the user named, else a run's best weights, else its last ones.

    Raises:
        RequestError: the run kept none.
    """
    if typed is not None and typed.suffix == ".pt" and typed.is_file():
        return typed
    for name in (BEST, FINAL):
        if (run.folder / name).exists():
            return run.folder / name
    status = _status_of(run)
    if status not in (None, "ok"):
        move = f"the training ended {status} before there were any; its row says why"
    else:
        move = (
            "the training kept no weights, or has not ended; put keep_best = true into [measure] of its experiment "
            "file and train it again with --again ok"
        )
    raise RequestError(f"{run.folder}: holds neither {BEST} nor {FINAL}: {move}")


def _status_of(run: Run) -> str | None:
    with suppress(OSError, pa.ArrowException, IndexError):  # IndexError: a table without rows
        return str(pq.read_table(run.record_path, columns=["status"])[0][0].as_py())
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptEvaluation:
    """The result of kept weights on a test set."""

    epoch: int
    """The epoch after which they were kept, from 1."""
    device: str
    """cuda or cpu: where they were evaluated."""
    num_test_images: int
    evaluation: Evaluation


def evaluate_kept(run: Run, path: Path, *, data: str | None = None, batch_size: int | None = None) -> KeptEvaluation:
    """Evaluate weights in the run's own precision.

    Args:
        run: the run that trained them.
        path: the file of weights.
        data: another test set than the run's, with as many classes.
        batch_size: images at once; the result depends on it only by rounding.

    Raises:
        RequestError: something is not there, does not fit, or cannot be computed here.
    """
    cell = _as_run(run)
    device = torch.device("cuda" if run.board.is_gpu and torch.cuda.is_available() else "cpu")
    if cell.num_threads:
        torch.set_num_threads(cell.num_threads)
    try:
        kept = read_checkpoint(path)
        if not {"epoch", "classes", "model"} <= kept.keys():
            raise ValueError(f"{path}: holds no weights that a training of this version kept")
        images = _images(cell, kept, path, data)
        precision = set_up_precision(cell, device)
        prepare = _normalize(cell, kept, precision.weights, device)  # first: a factory may change the default dtype
        model = _model(cell, kept, path, device)
        found = evaluate(
            model,
            images.test_x_NCHW.to(device),
            images.test_y_N.to(device),
            prepare=prepare,
            loss_fn=loss_of(model),
            autocast=precision.autocast,
            batch_size=batch_size or evaluation_batch_size(cell),
            num_classes=images.num_classes,
        )
    except (Unsupported, Diverged, ValueError, RuntimeError, MemoryError) as e:
        words = (str(e).strip() or type(e).__name__).splitlines()[0]
        hint = "; choose a smaller --batch-size" if "memory" in words else ""
        raise RequestError(f"{run.folder}: {words}{hint}") from e
    return KeptEvaluation(
        epoch=kept["epoch"],
        device=device.type,
        num_test_images=len(images.test_y_N),
        evaluation=found,
    )


def _as_run(run: Run) -> Cell:
    """Return a run's cell in the layout in which it ran."""
    path = run.record_path
    known = path.exists() and "channels_last_used" in pq.read_schema(path).names
    used = pq.read_table(path, columns=["channels_last_used"])[0][0].as_py() if known else None
    return run.cell if used is None else replace(run.cell, channels_last=used)


def _images(cell: Cell, kept: Kept, path: Path, data: str | None) -> Images:
    check_data(data or cell.data)
    images = load_images(data or cell.data, cell.image_size)
    wanted, found = list(kept["classes"]), list(images.classes)
    if len(found) != len(wanted):
        raise ValueError(
            f"data = '{data or cell.data}' has {len(found)} classes, and {path.name} knows {len(wanted)} "
            f"({', '.join(wanted[:3])} …); give --data with the same classes in the same order"
        )
    return images


def _model(cell: Cell, kept: Kept, path: Path, device: torch.device) -> nn.Module:
    try:
        model = build_model(cell, len(kept["classes"]))
    except Exception as e:  # the user's own model may raise anything
        raise ValueError(f"{cell.model} cannot be built: {type(e).__name__}: {e}") from e
    model = cast_model(model, cell, device)
    modules = dict(model.named_modules())
    for name, value in kept["model"].items():
        layer, _, key = name.rpartition(".")
        buffers = modules[layer]._buffers if layer in modules else {}
        there = buffers.get(key)
        if key in buffers and (there is None or there.shape != value.shape):  # made or enlarged in the first forward
            buffers[key] = value.to(device)
    try:
        model.load_state_dict(kept["model"])
    except RuntimeError as e:
        misfit = " ".join(str(e).split())
        raise ValueError(f"{path.name} does not fit {cell.model} as it is now: {misfit[:300]}") from None
    model.eval()  # a model's own eval() may return nothing
    return model


def _normalize(cell: Cell, kept: Kept, dtype: torch.dtype, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return the function from pixels to the model's input, with the mean and deviation of its training images."""
    mean, std = NORMALIZATIONS.get(cell.normalization) or (kept.get("mean"), kept.get("std"))
    if mean is None or std is None:  # an older version did not keep them
        trained_on = load_images(cell.data, cell.image_size)
        mean, std = trained_on.mean, trained_on.std
    layout = torch.channels_last if cell.channels_last else torch.contiguous_format
    return Normalize(mean, std, dtype=dtype, memory_format=layout, device=device, size=cell.resize)
