"""Which layer was non-finite first: a diverged training is replayed under hooks, up to the step that diverged.

Nothing checks for this while a training is timed. The replay starts from the last checkpoint, or from the seed. On a
CPU it is exact, except that a compiled training is replayed without the compiler. On a GPU, atomics may move the
divergence by a step or hide it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.images.images import Images
from ampbench.bench.train.outputs import tensors_of
from ampbench.bench.train.training import Training

LOSS = "the loss"
"""Stands for the layer where every layer's output was finite."""

Event = tuple[str, str]
"""A layer, and where one of its tensors was not finite: input, forward or backward. An `input` comes from code that is
in no layer: no layer before it returned such a number."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The first tensor that was not finite."""

    step: int
    layer: str
    where: str
    """`forward`: its output. `input`: what it was given. `backward`: the gradient at its output or of its weights.
    `update`: its weights."""

    def __str__(self) -> str:
        if self.layer == LOSS:
            return f"the loss was the first to be non-finite, with finite outputs of all layers, at step {self.step}"
        if self.where == "input":
            return f"{said_of_input(self.layer)}, at step {self.step}"
        what = {"forward": "output", "backward": "gradient", "update": "weights after the update"}[self.where]
        return f"{self.layer} was the first to be non-finite: its {what} at step {self.step}"


def said_of_input(layer: str) -> str:
    """Say that the code before a layer, and no layer, was the first to be non-finite."""
    return f"the input of {layer} was the first to be non-finite, and no layer's output: look at the code before it"


def first_non_finite(
    cell: Cell,
    images: Images,
    device: torch.device,
    saved: Mapping[str, Any] | None,
    *,
    last_step: int,
    max_s: float,
    finite_loss: bool = False,
    start: Mapping[str, Any] | None = None,
) -> Finding | None:
    """Replay a training under hooks, up to the step at which the loss or the weights are not finite.

    Two things do not count: a gradient that overflows under a loss scale, if the scaler skips the step; and an infinity
    that a layer returns on purpose, such as an attention mask, if the loss and the update are finite.

    Args:
        cell: the cell that diverged.
        images: its data.
        device: that it ran on.
        saved: a checkpoint to start from; None, or one whose weights are not finite, replays from the seed.
        last_step: the step at which the training ended, from 1.
        max_s: give up after so many seconds.
        finite_loss: it ended because its gradients were not finite at any scale; then those of `last_step` count.
        start: `Training.start`, where a second call of the model's factory does not build a new model.

    Returns:
        None if nothing was found up to `last_step` or within `max_s`.
    """
    training = Training(cell, images, device, start=start)
    epoch = 0
    if saved and all(
        bool(saved["training"]["model"]["state_dict"][name].isfinite().all()) for name in training.weights
    ):
        training.load_state_dict(saved["training"])
        epoch = int(saved["epoch"])
    first_step = epoch * training.steps_per_epoch + 1
    begun = time.perf_counter()
    scaler = training.precision.scaler
    harmless: set[str] = set()
    with watching(training.model) as events:
        for step, (x_NCHW, y_N) in enumerate(training.endless_batches(epoch), start=first_step):
            if step > last_step or time.perf_counter() - begun > max_s:
                return None
            events.clear()
            skipped = float(scaler.num_skipped)
            loss = training.step(x_NCHW, y_N).loss
            was_skipped = float(scaler.num_skipped) > skipped
            own = [event for event in events if event[0] not in harmless]
            if not bool(loss.isfinite()):
                layer, where = _first([e for e in own or events if e[1] != "backward"], (LOSS, "forward"))
                return Finding(step, layer, where)
            counts = not was_skipped or (finite_loss and step == last_step)
            if counts and any(where == "backward" for _, where in own):
                return Finding(step, *own[0])
            for name, parameter in (*training.updated.items(), *training.weights.items()):
                if not bool(parameter.isfinite().all()):
                    return Finding(step, *_first(own, (name.rpartition(".")[0] or name, "update")))
            harmless |= {layer for layer, where in events if where != "backward"}
    return None


def _first(events: Sequence[Event], otherwise: Event) -> Event:
    return events[0] if events else otherwise


@contextmanager
def watching(model: nn.Module) -> Iterator[list[Event]]:
    """Context that gives a list of events, one for each tensor that was not finite, in order."""
    events: list[Event] = []
    given: dict[str, bool] = {}

    def note(x: Tensor, layer: str, where: str) -> None:
        if x.is_floating_point() and not bool(x.isfinite().all()):
            events.append((layer, where))

    def watch_input(layer: str) -> Any:
        def watch(_module: nn.Module, inputs: Any) -> None:  # before the layer, which may overwrite it
            found = [x for x in tensors_of(inputs) if x.is_floating_point()]
            given[layer] = any(bool(x.isnan().any()) for x in found) or not all(
                bool(x.isfinite().all()) for x in found[:1]
            )

        return watch

    def watch_output(layer: str) -> Any:
        def watch(_module: nn.Module, _inputs: Any, output: Any) -> None:
            for x in tensors_of(output):
                note(x, layer, "input" if given.get(layer) else "forward")
                if x.requires_grad:
                    x.register_hook(lambda gradient: note(gradient, layer, "backward"))

        return watch

    handles = []
    for name, module in model.named_modules():
        layer = name or "the model"
        handles.append(module.register_forward_pre_hook(watch_input(layer)))
        handles.append(module.register_forward_hook(watch_output(layer)))  # its layers' events come first
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            layer = name.rpartition(".")[0] or name
            handles.append(parameter.register_hook(lambda gradient, layer=layer: note(gradient, layer, "backward")))
    try:
        yield events
    finally:
        for handle in handles:
            handle.remove()
