"""Where 16 bits lose numbers: exponents, underflow, overflow, lost updates, distance from fp32.

Arithmetic only: every function takes fp32 tensors, which stand for the values without rounding, and returns what a
format would do to them. `bench/worker/numerics_probe/sample.py` brings the tensors.

A floating-point number is m * 2^e with 1 <= |m| < 2; here e is called its exponent. fp16 reaches from
2^-24 (its smallest subnormal) to 65504, bf16 from 2^-133 to 3.4e38, like fp32. Both round to nearest, ties to even.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

NEAR_OVERFLOW_BITS = 2
"""A number within this many doublings of the largest finite one is near overflow."""


@dataclass(frozen=True, slots=True)
class Exponents:
    """The number of entries of a tensor per exponent."""

    counts: dict[int, int]
    """Exponent e -> number of entries with 2^e <= |x| < 2^(e + 1); without exponents that no entry has."""
    num_zero: int
    num_not_finite: int

    @property
    def largest(self) -> int | None:
        """The largest exponent, or None without a finite entry other than 0."""
        return max(self.counts, default=None)


def exponents(x: Tensor) -> Exponents:
    """Count the exponents of a tensor of any shape. Waits for the device."""
    x = x.detach().float().flatten()
    finite = x.isfinite()
    x = x[finite]
    # frexp gives a mantissa in [0.5, 1), one less in the exponent than the form with 1 <= |m| < 2.
    e = torch.frexp(x[x != 0]).exponent - 1
    values, counts = torch.unique(e, return_counts=True)
    return Exponents(
        dict(zip(values.tolist(), counts.tolist(), strict=True)),
        num_zero=int((x == 0).sum()),
        num_not_finite=int((~finite).sum()),
    )


def flushed_share(x: Tensor, dtype: torch.dtype, scale: float = 1.0) -> float | None:
    """Share of the nonzero entries of `x` that are 0 once multiplied by `scale` and rounded to `dtype`.

    None where `x` has no nonzero entry.
    """
    nonzero = x[x != 0].float()
    if not nonzero.numel():
        return None
    return float(((nonzero * scale).to(dtype) == 0).double().mean())


def died_share(true: Tensor, seen: Tensor) -> float | None:
    """Share of the nonzero entries of `true` that are 0 in `seen`, in whichever operator they were lost."""
    nonzero = true != 0
    if not bool(nonzero.any()):
        return None
    return float((seen[nonzero] == 0).double().mean())


def near_overflow_share(
    x: Tensor, dtype: torch.dtype, scale: float = 1.0, bits: int = NEAR_OVERFLOW_BITS
) -> float | None:
    """Share of the entries of `x` whose multiple by `scale` is at or above max / 2^bits in `dtype`, infinite ones too.

    None for an empty tensor. NaN counts too, because its value is lost.
    """
    if not x.numel():
        return None
    limit = torch.finfo(dtype).max / 2**bits
    return float((~((x.double() * scale).abs() < limit)).double().mean())


def headroom_bits(largest_exponent: int | None, dtype: torch.dtype, scale: float = 1.0) -> float | None:
    """Doublings of the scale until the largest entry of the gradient leaves the format; negative if it has.

    None without a nonzero entry.
    """
    if largest_exponent is None:
        return None
    return math.frexp(torch.finfo(dtype).max)[1] - 1 - largest_exponent - math.log2(scale)


def ulp(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the gap between |x| and the next larger number of `dtype`, in fp32, of x's shape.

    `x` holds numbers of `dtype`. At 0 and among the subnormals the gap is the smallest subnormal (Goldberg, 1991,
    "What Every Computer Scientist Should Know About Floating-Point Arithmetic", section 1.2).
    """
    info = torch.finfo(dtype)
    lowest = torch.frexp(torch.tensor(info.tiny, dtype=torch.float64)).exponent - 1
    e = (torch.frexp(x.double()).exponent - 1).clamp(min=int(lowest))
    e = torch.where(x == 0, lowest, e)
    return torch.ldexp(torch.full_like(x, info.eps, dtype=torch.float64), e).float()


def lost_update_share(weight: Tensor, update: Tensor, dtype: torch.dtype) -> float | None:
    """Share of the weights with a nonzero update below half their ulp: rounding to nearest undoes it.

    Args:
        weight: numbers of `dtype`, any shape.
        update: fp32, same shape: learning rate times gradient.
        dtype: that the weights are kept in.

    Returns:
        None where no update is nonzero.
    """
    moving = update != 0
    weight, update = weight[moving], update[moving]
    if not update.numel():
        return None
    return float((update.double().abs() < ulp(weight, dtype).double() / 2).double().mean())


def unmoved_share(before: Tensor, after: Tensor, gradient: Tensor) -> float | None:
    """Share of the weights with a nonzero gradient that a step did not change; None where there is none."""
    moving = gradient != 0
    if not bool(moving.any()):
        return None
    return float((before[moving] == after[moving]).double().mean())


def relative_distance(x: Tensor, reference: Tensor) -> float | None:
    """Return |x - reference| / |reference| in the Euclidean norm; None where the reference is 0.

    Infinite where `x` is not finite.
    """
    norm = float(reference.double().norm())
    if norm == 0 or not bool(reference.isfinite().all()):
        return None
    distance = float((x.double() - reference.double()).norm())
    return distance / norm if distance == distance else float("inf")
