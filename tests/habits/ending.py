"""How a cell of a model ends: in this process, on digits at 16x16, one epoch of batches of 64."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.statuses import Unsupported
from ampbench.bench.worker.cell import find_divergence
from ampbench.bench.worker.checkpoints import Checkpoints, NoCheckpoints
from ampbench.bench.worker.ending import ending_of
from ampbench.bench.worker.measurement import Measurement
from tests.support.measuring import plain, row_of

CPU = torch.device("cpu")


class Net(nn.Module):
    """Convolution, BatchNorm, linear: learns the digits to about 90 % in an epoch."""

    input_shape = (3, 16, 16)
    num_classes = 10

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8 * 64, 10)

    def features(self, x_NCHW: Tensor) -> Tensor:
        return self.norm(self.conv(x_NCHW)).relu().flatten(1)

    def forward(self, x_NCHW: Tensor) -> Any:
        return self.linear(self.features(x_NCHW))


def cell_of(model: type[nn.Module] | str, recipe: str = "fp32", **fields: Any) -> Cell:
    name = model if isinstance(model, str) else f"{model.__module__}:{model.__name__}"
    given = {"data": "digits", "image_size": 16, "batch_size": 64, "epochs": 1, "learning_rate": 0.05, "augment": ()}
    return Cell(model=name, precision=RECIPES[recipe], **given | fields)


def measurement_of(cell: Cell, folder: Path | None = None, **measure: Any) -> Measurement:
    checkpoints = Checkpoints(folder, 1e9, "x", "y") if folder else NoCheckpoints()
    return Measurement(cell, MeasurementProtocol(**{"passes": ()} | measure), CPU, lambda **_: None, checkpoints)


def end(
    model: type[nn.Module] | str, recipe: str = "fp32", measure: dict[str, Any] | None = None, **fields: Any
) -> Any:
    """Return the row of a cell with its status, as a worker writes it."""
    torch.backends.mkldnn.enabled = True
    measurement = measurement_of(cell_of(model, recipe, **fields), **measure or {})
    ending = ending_of(measurement)
    status, because = ending.status, ending.because
    if status == "diverged":
        because = f"{because}; {find_divergence(measurement, max_s=60)}"
    torch.backends.mkldnn.enabled = True
    if status == "unsupported" and "does not update" in str(because):
        raise Unsupported(because)  # of torch's optimizers, whatever the model: a skip (tests/conftest.py)
    return row_of(measurement) | {
        "status": status,
        "because": because,
        "epochs": plain(measurement.outcome.traces.epochs),
    }


@cache
def end_once(model: type[nn.Module], recipe: str = "fp32") -> Any:
    """The same, trained once for all tests that compare with it."""
    return end(model, recipe)
