"""Models that fail outside the measured steps: named in experiments as tests.support.ending:NAME."""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from tests.support.tiny import Net


class NoMeta(Net):
    """Supports two kinds of devices; the count of operations runs on a third."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        assert x_NCHW.device.type in ("cpu", "cuda")
        return super().forward({"cpu": 1.0, "cuda": 1.0}[x_NCHW.device.type] * x_NCHW)


class _Stop(BaseException):
    """A BaseException that is not an Exception."""


class ExitsLater(Net):
    """Ends the process in a step after the last timed one, or in the count of operations, as its argument says."""

    ending: type[BaseException] = SystemExit

    def __init__(self) -> None:
        super().__init__()
        self.evaluations = 0

    def train(self, mode: bool = True) -> Net:
        if hasattr(self, "evaluations"):
            self.evaluations += not mode
        return super().train(mode)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if x_NCHW.device.type == "meta" or (self.training and self.evaluations >= 2):
            raise self.ending("later")
        return super().forward(x_NCHW)


class InterruptsLater(ExitsLater):
    ending = KeyboardInterrupt


class StopsLater(ExitsLater):
    ending = _Stop


class Exits(Net):
    def forward(self, x_NCHW: Tensor) -> Tensor:
        sys.exit(3)


class Interrupts(Net):
    def forward(self, x_NCHW: Tensor) -> Tensor:
        raise KeyboardInterrupt


class Stops(Net):
    def forward(self, x_NCHW: Tensor) -> Tensor:
        raise _Stop("that's all")


class HalfACharacter(Net):
    def forward(self, x_NCHW: Tensor) -> Tensor:
        raise KeyError("half a \ud800 character")


class NoteList(Net):
    note = ("a remark", 3)


class NoteHalf(Net):
    note = "half a \ud800 character"


class NoteLayer(Net):
    def __init__(self) -> None:
        super().__init__()
        self.note = nn.Linear(2, 2)


class NoteTensor(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("note", torch.ones(3))


class NoteMethod(Net):
    def note(self) -> str:
        return "called for"


class NoteRaises(Net):
    @property
    def note(self) -> str:
        raise KeyError("of its own")


class NoteExits(Net):
    @property
    def note(self) -> str:
        raise SystemExit(1)
