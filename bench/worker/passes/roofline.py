"""The operations of a training, counted, and the share of the board's peak that they reach."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import nn

from ampbench.bench.measure.flops import count_flops
from ampbench.bench.measure.roofline import TERA, measured_peak_tflops, utilisation, vendor_peak_tflops
from ampbench.bench.measure.shapes import on_shapes
from ampbench.bench.train.loss.criterion import Criterion
from ampbench.bench.train.loss.loss import LossFunction
from ampbench.bench.train.network import build_model
from ampbench.bench.train.outputs import in_fp32
from ampbench.bench.train.precision.precision import DTYPES, cast_real
from ampbench.bench.train.training import Training
from ampbench.bench.worker.passes.phases import device_seconds
from ampbench.schema.speed import Speed
from ampbench.schema.work import Operations, Peaks, Utilisation


def operations_of(training: Training) -> Operations:
    """Count the operations of one image, forward and backward."""
    cell = training.cell
    loss_of, shape = partial(_loss_of, training), (3, cell.input_size, cell.input_size)
    build = partial(_fp32_model, training)
    try:
        flops = count_flops(build, loss_of, shape)
    except Exception:  # perhaps it only has to see its first images
        with on_shapes(build, lambda model: model(torch.rand(2, *shape))) as (model, _):
            flops = count_flops(lambda: model, loss_of, shape, device="cpu")
    return Operations(forward_flops=flops.forward, backward_flops=flops.backward)


def vendor_peak_of(training: Training) -> float | None:
    """Return the vendor's peak of the board in TFLOP/s, in the dtype that the recipe multiplies in.

    None in fp8: its matrix products are in two dtypes, and neither alone gives its peak.
    """
    recipe, device = training.cell.precision, training.device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return None if recipe.fp8 else vendor_peak_tflops(gpu, "tf32" if recipe.tf32 else recipe.compute)


def measured_peak_of(training: Training) -> float | None:
    """Measure the peak of the board in TFLOP/s, in the same dtype."""
    recipe, device = training.cell.precision, training.device
    seconds = partial(device_seconds, device=device)
    return None if recipe.fp8 else measured_peak_tflops(device, DTYPES[recipe.compute], seconds)


def utilisation_of(operations: Operations, peaks: Peaks, speed: Speed, num_gpus: int) -> Utilisation:
    """Return the operations per second of one board, and their share of its peaks; None where one is not known."""
    if speed.images_per_s is None or operations.forward_flops is None or operations.backward_flops is None:
        return Utilisation()
    flops, rate = operations.forward_flops + operations.backward_flops, speed.images_per_s / num_gpus
    return Utilisation(
        tflops=flops * rate / TERA,
        mfu_vendor=utilisation(flops, rate, peaks.vendor_peak_tflops),
        mfu_measured=utilisation(flops, rate, peaks.measured_peak_tflops),
    )


def _fp32_model(training: Training) -> nn.Module:
    model = build_model(training.cell, training.images.num_classes)
    cast_real(model, torch.float32)
    return model


def _loss_of(training: Training, model: nn.Module) -> LossFunction:
    criterion = Criterion(model, replace(training.cell, accumulation=1), training.images.num_classes)
    return lambda output, y_N: criterion(in_fp32(output), y_N)
