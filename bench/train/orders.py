"""What rank 0 may order the other ranks to do: a closed set, which the type checker sees at both ends of the pipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Never


@dataclass(frozen=True, slots=True)
class OpenEpoch:
    """Begin an epoch: draw its order of the images."""

    epoch: int
    """From 0."""


@dataclass(frozen=True, slots=True)
class TakeStep:
    """Take the next training step of the open epoch."""


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Evaluate this rank's share of the test set."""


@dataclass(frozen=True, slots=True)
class CountHits:
    """Add up the hits of this epoch's training images."""


@dataclass(frozen=True, slots=True)
class GatherState:
    """Give this rank's random states to the checkpoint."""


@dataclass(frozen=True, slots=True)
class LoadState:
    """Take back the state that rank 0 has read from a checkpoint."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The cell is over: end this process."""


Order = OpenEpoch | TakeStep | Evaluate | CountHits | GatherState | LoadState
"""To be carried out, one after another."""

Message = Order | Finish
"""What goes through the pipe."""


def refuse_unknown(order: Never) -> Never:
    """End a `match` over all orders: the type checker says which order has no case.

    Raises:
        RuntimeError: always. A rank that skipped an order would keep the others waiting without an end.
    """
    raise RuntimeError(f"rank 0 sent {order!r}, which is no order that a rank knows: all must run the same version")
