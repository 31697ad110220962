"""Recurrent layers and attention: in autocast, out of it on purpose, and out of it by a thread."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn

from tests.habits.ending import Net


class Recurrent(Net):
    """Rows of the image as a sequence, read by an LSTM whose output is a tuple; batches first."""

    kind: type[nn.RNNBase] = nn.LSTM

    def __init__(self) -> None:
        super().__init__()
        self.rnn = self.kind(3 * 16, 32, batch_first=True)
        self.linear = nn.Linear(32 * 16, 10)

    def read(self, rows_NTC: Tensor) -> Tensor:
        return self.rnn(rows_NTC)[0]

    def forward(self, x_NCHW: Tensor) -> Any:
        read = self.read(x_NCHW.permute(0, 2, 1, 3).flatten(2))
        return self.linear(read.to(x_NCHW.dtype).flatten(1))


class GRU(Recurrent):
    kind = nn.GRU


class Island(Recurrent):
    """In fp32 on purpose."""

    def read(self, rows_NTC: Tensor) -> Tensor:
        with torch.autocast(rows_NTC.device.type, enabled=False):
            return self.rnn(rows_NTC.float())[0]


class GRUIsland(Island):
    kind = nn.GRU


class InThread(Recurrent):
    """In a thread, where autocast is lost."""

    def read(self, rows_NTC: Tensor) -> Tensor:
        found: list[Tensor] = []
        thread = threading.Thread(target=lambda: found.append(self.rnn(rows_NTC)[0]))
        thread.start()
        thread.join()
        return found[0]


class GRUInThread(InThread):
    kind = nn.GRU


class InThreadUnderAutocast(Recurrent):
    """In a thread that enters autocast again, as it should."""

    kind = nn.GRU

    def read(self, rows_NTC: Tensor) -> Tensor:
        found: list[Tensor] = []
        kind = rows_NTC.device.type
        enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)

        def read() -> None:
            with torch.autocast(kind, dtype=dtype, enabled=enabled):
                found.append(self.rnn(rows_NTC)[0])

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        return found[0]


class Cells(Recurrent):
    """A recurrent cell, called for each row."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRUCell(3 * 16, 32)

    def read(self, rows_NTC: Tensor) -> Tensor:
        h_NC, read = rows_NTC.new_zeros(len(rows_NTC), 32), []
        for x_NC in rows_NTC.unbind(1):
            h_NC = self.rnn(x_NC, h_NC)
            read.append(h_NC)
        return torch.stack(read, 1)


class Attention(Recurrent):
    """Attention, whose output is a tuple, too."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.MultiheadAttention(3 * 16, 4, batch_first=True)
        self.linear = nn.Linear(3 * 16 * 16, 10)

    def read(self, rows_NTC: Tensor) -> Tensor:
        return self.rnn(rows_NTC, rows_NTC, rows_NTC, need_weights=False)[0]


class AttentionInThread(Attention):
    def read(self, rows_NTC: Tensor) -> Tensor:
        found: list[Tensor] = []
        thread = threading.Thread(target=lambda: found.append(super(AttentionInThread, self).read(rows_NTC)))
        thread.start()
        thread.join()
        return found[0]
