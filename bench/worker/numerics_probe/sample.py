"""A sample of one step, layer by layer: what its precision flushed, lost and distorted. The training is unchanged.

On one fixed batch, with the present weights, three things are done off the clock:

    reference   forward and backward with the weights in strict fp32: the gradient without rounding
    recipe      the same in the recipe, at its present loss scale: the gradient as computed
    step        the update with it, to see which weights move

Then the training's state is restored, bit for bit, with its random generators.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.bench.measure import numerics
from ampbench.bench.train.outputs import in_fp32, tensors_of
from ampbench.bench.train.precision.islands import layers_on_islands
from ampbench.bench.train.precision.precision import DTYPES, set_fp32_precision
from ampbench.bench.train.training import Training
from ampbench.bench.worker.numerics_probe.fp32_reference import strict_fp32
from ampbench.schema.layers import ExponentRow, LayerRow

PROBE_SEED = 0
"""Seed of the choice of the batch: the same images for every recipe and seed of an experiment."""

GRADIENT, ACTIVATION, ACTIVATION_GRADIENT = "gradient", "activation", "activation gradient"
"""The tensor of a row: the gradient of a layer's weights, its output, or the gradient that reaches its output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The result of one sample."""

    step: int
    """Steps taken before the sample."""
    epoch: int
    """Epochs finished before the sample."""
    layers: list[LayerRow] = field(default_factory=list)
    exponents: list[ExponentRow] = field(default_factory=list)
    headroom_bits: float | None = None
    """Lowest of all layers: doublings of the loss scale until a gradient overflows."""


class LayerSampler:
    """Samples a training on one batch of its own images, taken without augmentation."""

    def __init__(self, training: Training, *, activations: bool) -> None:
        self.training = training
        self.activations = activations
        num_images = len(training.images.train_y_N)
        order = torch.randperm(num_images, generator=torch.Generator().manual_seed(PROBE_SEED))
        self.chosen_N = order[: training.cell.batch_size]
        """On the CPU: between samples nothing is held on the device, whose memory is measured."""

    def is_due(self, epoch: int, num_samples: int) -> bool:
        """Whether one of `num_samples` samples, spread evenly from before the first epoch to after the last, is due."""
        epochs = self.training.cell.epochs
        return epoch in {round(i * epochs / max(1, num_samples - 1)) for i in range(num_samples)}

    def sample(self, epoch: int, step: int = 0) -> Sample:
        """Sample the step that the training would take after `epoch` epochs and `step` steps, on a fixed batch.

        Raises:
            CannotRollBackError: the training holds something that could not be restored; nothing has been changed.
        """
        training = self.training
        before_all = training.savepoint()
        self.take_batch()
        skipped = float(training.precision.scaler.num_skipped)
        torch.backends.cudnn.benchmark = False  # its trials belong to the training's first steps
        try:
            inside: dict[tuple[str, str], Tensor] = {}
            reference = self.reference_gradients(inside)
            before_all.roll_back()
            training.set_learning_rate(max(0, min(epoch, training.cell.epochs - 1)), step=0)
            before = {name: p.detach().clone() for name, p in training.updated.items()}
            scale = training.precision.scaler.factor or 1.0
            gradients = self.recipe_gradients(scale)
            training.precision.scaler.step(training.optimizer)
            training.precision.scaler.update()
            was_skipped = float(training.precision.scaler.num_skipped) > skipped
            sample = Sample(step=step, epoch=epoch)
            return self.compared(sample, reference, gradients, before, inside, scale, was_skipped=was_skipped)
        finally:
            torch.backends.cudnn.benchmark = training.cell.cudnn_benchmark
            del self.pixels_NCHW, self.y_N
            before_all.roll_back()

    def warm_up(self) -> None:
        """Take one unused forward and backward pass, so that the next timed step finds the memory as steps leave it.

        The memory of a sample has been released to the system, and with it the memory that a step needs.
        """
        training, cell = self.training, self.training.cell
        before = training.savepoint()
        model = training.stepped if cell.gpus == 1 else training.model  # DDP would wait for the other ranks
        self.take_batch()
        torch.backends.cudnn.benchmark = False
        try:
            parts = zip(self.pixels_NCHW.chunk(cell.accumulation), self.y_N.chunk(cell.accumulation), strict=True)
            for pixels_PCHW, y_P in parts:
                with training.precision.autocast:
                    output = model(training.normalize(pixels_PCHW))
                training.criterion(in_fp32(output), y_P).backward()
        finally:
            torch.backends.cudnn.benchmark = cell.cudnn_benchmark
            del self.pixels_NCHW, self.y_N
            before.roll_back()

    def take_batch(self) -> None:
        """Copy the probe's batch to the device."""
        x_NCHW, y_N = self.training.images.train_x_NCHW, self.training.images.train_y_N
        chosen_N = self.chosen_N.to(x_NCHW.device)  # the host, where a DataLoader brings the images
        self.pixels_NCHW, self.y_N = x_NCHW[chosen_N].to(self.training.device), y_N[chosen_N].to(self.training.device)

    def reference_gradients(self, inside: dict[tuple[str, str], Tensor]) -> dict[str, Tensor]:
        """Return the gradients in strict fp32, by parameter; with activations, fill `inside` by (layer, kind)."""
        training = self.training
        set_fp32_precision(tf32=False)
        try:
            model, holders = strict_fp32(training)
            if self.activations:
                for name, module in model.named_modules():
                    if not any(module.children()):
                        module.register_forward_hook(_recorder(name, inside))
            output = model(training.normalize.to(torch.float32)(self.pixels_NCHW))
            training.criterion(in_fp32(output), self.y_N).backward()
        finally:
            set_fp32_precision(tf32=training.cell.precision.tf32)
        return {name: _gradient(holders[name]) for name in training.weights}

    def recipe_gradients(self, scale: float) -> dict[str, Tensor]:
        """Return the gradients as the recipe computes them, in fp32 without the scale; they stay for the update."""
        training = self.training
        training.optimizer.zero_grad(set_to_none=True)
        with training.precision.autocast:
            output = training.model(training.normalize(self.pixels_NCHW))
        training.precision.scaler.scale(training.criterion(in_fp32(output), self.y_N)).backward()
        return {name: _gradient(p) / scale for name, p in training.updated.items()}

    def compared(
        self,
        sample: Sample,
        reference: dict[str, Tensor],
        gradients: dict[str, Tensor],
        before: dict[str, Tensor],
        inside: dict[tuple[str, str], Tensor],
        scale: float,
        *,
        was_skipped: bool,
    ) -> Sample:
        """Return the sample with its rows, after the update."""
        training, recipe = self.training, self.training.cell.precision
        compute, kept = DTYPES[recipe.compute], DTYPES[recipe.weights]
        rate = training.optimizer.param_groups[0]["lr"]
        on_islands = layers_on_islands(training.model)
        headrooms: list[float] = []
        for depth, (layer, names) in enumerate(layers_of(training.weights).items()):
            true_P, seen_P = _flat(reference, names), _flat(gradients, names)
            old_P, new_P = _flat(before, names), _flat(training.updated, names)
            # Autocast keeps the weights of a normalisation, and so their gradients, in the weights' own dtype.
            dtype = compute if any(training.weights[name].dim() > 1 for name in names) else kept
            dtype = torch.float32 if layer in on_islands else dtype
            counted = numerics.exponents(true_P)
            headroom = numerics.headroom_bits(counted.largest, dtype, scale)
            headrooms += [] if headroom is None else [headroom]
            plain_16_bit = old_P.dtype != torch.float32
            quantities = {
                "num_entries": float(true_P.numel()),
                "loss_scale_factor": scale,
                "flushed_share": numerics.flushed_share(true_P, dtype, scale),
                "died_share": numerics.died_share(true_P, seen_P),
                "near_overflow_share": numerics.near_overflow_share(true_P, dtype, scale),
                "headroom_bits": headroom,
                "norm": float(true_P.double().norm()),
                "distance": numerics.relative_distance(seen_P, true_P),
                "lost_update_share": numerics.lost_update_share(old_P, rate * seen_P, old_P.dtype)
                if plain_16_bit
                else None,
                "unmoved_share": None if was_skipped else numerics.unmoved_share(old_P, new_P, seen_P),
            }
            _add(sample, depth, layer, GRADIENT, quantities, counted)
        for depth, ((layer, kind), x) in enumerate(inside.items()):
            here = scale if kind == ACTIVATION_GRADIENT else 1.0
            dtype = torch.float32 if layer in on_islands else compute
            quantities = {
                "flushed_share": numerics.flushed_share(x, dtype, here),
                "near_overflow_share": numerics.near_overflow_share(x, dtype, here),
            }
            _add(sample, depth // 2, layer, kind, quantities, numerics.exponents(x))
        return replace(sample, headroom_bits=min(headrooms, default=None))


def layers_of(parameters: Iterable[str]) -> dict[str, list[str]]:
    """Return layer -> its parameters' names, in the model's order: `conv1` -> `conv1.weight`, `conv1.bias`."""
    layers: dict[str, list[str]] = {}
    for name in parameters:
        layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return layers


def _add(
    sample: Sample,
    depth: int,
    layer: str,
    tensor: str,
    quantities: dict[str, float | None],
    counted: numerics.Exponents,
) -> None:
    layer_row = partial(LayerRow, step=sample.step, epoch=sample.epoch, depth=depth, layer=layer, tensor=tensor)
    exponent_row = partial(ExponentRow, step=sample.step, epoch=sample.epoch, depth=depth, layer=layer, tensor=tensor)
    sample.layers.extend(layer_row(quantity=name, value=v) for name, v in quantities.items() if v is not None)
    sample.exponents.extend(exponent_row(exponent=e, count=n) for e, n in counted.counts.items())


def _flat(tensors: dict[str, Any], names: list[str]) -> Tensor:
    return torch.cat([_as_real(tensors[name].detach()).flatten() for name in names])


def _as_real(x: Tensor) -> Tensor:
    return torch.view_as_real(x.resolve_conj()) if x.is_complex() else x


def _gradient(parameter: nn.Parameter) -> Tensor:
    """Return the gradient in fp32; zeros where the loss does not depend on the parameter."""
    gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    return _as_real(gradient.detach()).float()


def _recorder(layer: str, inside: dict[tuple[str, str], Tensor]) -> Any:
    def record(_module: nn.Module, _inputs: Any, output: Any) -> None:
        x = next((x for x in tensors_of(output) if x.requires_grad), None)
        if x is not None and (layer, ACTIVATION) not in inside:
            inside[layer, ACTIVATION] = x.detach().clone()
            inside[layer, ACTIVATION_GRADIENT] = torch.zeros(0)
            x.register_hook(lambda gradient: inside.update({(layer, ACTIVATION_GRADIENT): gradient.detach()}))

    return record
