"""The exponential moving average of a network's weights, which is what is evaluated where a cell asks for one.

Polyak and Juditsky, 1992, "Acceleration of stochastic approximation by averaging"; with a decay as in Tarvainen and
Valpola, 2017, "Mean teachers", section 2. Kept in fp32 whatever the weights are: a step of 1 - decay is lost in 16 bit.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class NoEma:
    """No moving average: what is evaluated is the network as it is. The methods are those of `Ema`."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def update(self) -> None:
        """Do nothing."""

    def evaluated(self) -> AbstractContextManager[nn.Module]:
        """Give the network itself."""
        return nullcontext(self._model)

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take nothing."""


class _Place(NamedTuple):
    """Where a module keeps a parameter or a buffer. Its tensor may be another one after every step, or none."""

    name: str
    tensors: MutableMapping[str, Tensor | None]
    """A module's own, by their own names."""
    key: str
    is_buffer: bool

    @property
    def tensor(self) -> Tensor | None:
        """The one that is there now."""
        if self.key not in self.tensors:
            return None
        return self.tensors[self.key]


class Ema:
    """The averages of all weights and of BatchNorm's statistics, updated after every step.

    Tensors are found by name, unlike in torch.optim.swa_utils.AveragedModel: a buffer may appear in the first step, or
    be another tensor, and of another shape, after each step; the average of such a buffer starts again. What has no
    mean (a count, or a tensor that is not a buffer) is evaluated as the network has it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._model = model
        self._averages: dict[str, Tensor] = {}
        self._find()
        self._take_in()

    @torch.no_grad()
    def update(self) -> None:
        """Move every average towards its tensor, by 1 - decay of the difference. Waits for nothing."""
        if not self._are_in_place():
            self._take_in()
        for averages, followed in self._moving:
            wide = averages[0].dtype
            torch._foreach_lerp_(averages, [x.detach().to(wide) for x in followed], 1 - self.decay)

    def _are_in_place(self) -> bool:
        """Whether the tensors of the last step are there still, the only ones, and of the same shapes."""
        if self._sizes() != self._found:
            return False
        try:
            return all(t[key] is x and (x is None or x.shape == shape) for t, key, x, shape in self._followed)
        except KeyError:
            return False

    def _take_in(self) -> None:
        """Pair the tensors that the network has now with their averages; a new tensor's average starts at its value."""
        if self._sizes() != self._found:
            self._find()
        self._followed = [
            (p.tensors, p.key, p.tensor, None if p.tensor is None else p.tensor.shape) for p in self._places
        ]
        moving: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for place in self._places:
            x = place.tensor
            if x is None or not _has_mean(x):
                continue
            average = self._averages.get(place.name)
            if average is None or average.shape != x.shape:
                average = self._averages[place.name] = x.detach().to(_wide(x), copy=True)
            averages, followed = moving.setdefault(average.dtype, ([], []))
            averages.append(average)
            followed.append(x)
        self._moving = list(moving.values())

    @contextmanager
    def evaluated(self) -> Iterator[nn.Module]:
        """Context that gives the network to evaluate, or to keep: with the averages in it, rounded to its dtypes.

        Its own weights are put back afterwards, so the training goes on as if there had been no evaluation.
        """
        own = [(place, place.tensor) for place in self._places]
        averaged = [
            (place, x, _known(self._averages[place.name], x))
            for place, x in own
            if x is not None and place.name in self._averages and self._averages[place.name].shape == x.shape
        ]
        before = [x.detach().clone() for place, x, _ in averaged if not place.is_buffer]
        weights = [x.detach() for place, x, _ in averaged if not place.is_buffer]
        try:
            for place, x, average in averaged:
                if place.is_buffer:
                    place.tensors[place.key] = average.to(x.dtype, copy=True)
                else:  # into the very weights, which a model may also hold under another name, as an LSTM does
                    x.detach().copy_(average)
            yield self._model
        finally:
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)
            for place, x in own:
                if place.is_buffer and place.tensor is not x:
                    place.tensors[place.key] = x

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averages, in fp32 or wider; the live ones."""
        return self._averages

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take them back, each to where the network has what it follows."""
        present = {place.name: place.tensor for place in self._places}
        self._averages = {}
        for name, average in state.items():
            followed = present.get(name)
            device = average.device if followed is None else followed.device
            self._averages[name] = average.to(device, copy=True)
        self._take_in()

    def _sizes(self) -> list[int]:
        return [len(tensors) for tensors in self._registers]

    def _find(self) -> None:
        """Search the network again for all places of tensors: one was added."""
        modules = list(self._model.named_modules())
        self._registers: list[Any] = [d for _, m in modules for d in (m._parameters, m._buffers, m._modules)]
        self._found = self._sizes()
        self._places = [
            _Place(f"{path}.{entry[0]}" if path else entry[0], tensors, entry[0], is_buffer)
            for is_buffer in (False, True)
            for path, module in modules
            for tensors in [module._buffers if is_buffer else module._parameters]
            for entry in tensors.items()  # of a scripted module nothing but items() works
        ]


def _known(average: Tensor, own: Tensor) -> Tensor:
    """Return the average; where it is NaN the network's own value: an infinity in a mask of attention has no mean."""
    return torch.where(average.isnan(), own.detach().to(average.dtype), average)


def _has_mean(x: Tensor) -> bool:
    return (x.is_floating_point() or x.is_complex()) and x.layout == torch.strided


def _wide(x: Tensor) -> torch.dtype:
    """Return the dtype of the average: fp32, or wider where the network is."""
    if x.is_complex():
        return torch.promote_types(x.dtype, torch.complex64)
    return torch.float64 if x.dtype == torch.float64 else torch.float32
