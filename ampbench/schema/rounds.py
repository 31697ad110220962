"""Adaptive rounds: `rounds = "adaptive"`, and after which numbers of rounds is asked what is still undecided."""

from __future__ import annotations

from typing import Literal

ADAPTIVE: Literal["adaptive"] = "adaptive"
"""In `[measure] rounds`, in place of a number."""

LOOKS = (2, 3, 4, 6, 8, 12)
"""Rounds after which the question is asked. One round shows no noise; the steps grow as the differences that a further
round could still tell shrink; beyond 12 the interval narrows by less than 4 % a round."""


def next_look(num_rounds: int) -> int | None:
    """Return how many rounds the next look follows; None after the last one."""
    return next((look for look in LOOKS if look > num_rounds), None)
