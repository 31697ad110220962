"""Underflow, overflow and lost updates, against exact arithmetic in plain Python."""

from __future__ import annotations

import math
import random
import struct
from fractions import Fraction

import pytest
import torch

from ampbench.bench.measure import numerics

FORMATS = {"fp16": (torch.float16, 11, -14), "bf16": (torch.bfloat16, 8, -126), "fp32": (torch.float32, 24, -126)}
"""Name -> dtype, digits of the significand, exponent of the smallest normal number."""


def exact_ulp(x: float, name: str) -> Fraction:
    """Return the gap above |x|, by the definition."""
    _, digits, lowest = FORMATS[name]
    e = max(math.frexp(x)[1] - 1, lowest) if x else lowest
    return Fraction(2) ** (e - digits + 1)


def rounded(x: float, name: str) -> float:
    """Round to nearest, ties to even, in exact arithmetic; infinite beyond the largest number of the format."""
    unit = exact_ulp(x, name)
    value = round(Fraction(x) / unit) * unit
    return float(value) if abs(value) <= Fraction(torch.finfo(FORMATS[name][0]).max) else math.copysign(math.inf, x)


def numbers(count: int, seed: int) -> list[float]:
    """Draw fp32 numbers over all exponents of fp32, half of them near the smallest of fp16."""
    draw = random.Random(seed)
    exponents = [draw.choice((draw.randint(-149, 127), draw.randint(-28, -10))) for _ in range(count)]
    return [
        struct.unpack("f", struct.pack("f", draw.choice((-1, 1)) * draw.uniform(1, 1.99) * 2.0**e))[0]
        for e in exponents
    ]


TIES = [2.0**-25, -(2.0**-25), 3 * 2.0**-25, 2.0**-24, 65504.0, 65519.9, 65520.0, 2.0**-134, 2.0**-133, 3.4e38, 0.0]


@pytest.mark.parametrize("name", FORMATS)
def test_the_reference_rounds_as_torch_does(name: str) -> None:
    values = numbers(500, seed=1) + TIES
    seen = torch.tensor(values).to(FORMATS[name][0]).double().tolist()
    assert seen == [rounded(x, name) for x in torch.tensor(values).tolist()]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("scale", [1.0, 1024.0, 2.0**16])
def test_flushed_is_what_exact_rounding_turns_to_zero(name: str, scale: float) -> None:
    values = [x for x in numbers(500, seed=2) if abs(x) * scale < 3e38]
    flushed = [rounded(x * scale, name) == 0 for x in values if x]
    share = numerics.flushed_share(torch.tensor([*values, 0.0]), FORMATS[name][0], scale)
    assert share == pytest.approx(sum(flushed) / len(flushed), abs=1e-12)


def test_half_the_smallest_subnormal_of_fp16_is_flushed_and_a_little_more_is_not() -> None:
    x = torch.tensor([2.0**-25, -(2.0**-25), 1.001 * 2.0**-25, 2.0**-24, 0.0])
    assert numerics.flushed_share(x, torch.float16) == 0.5
    assert numerics.flushed_share(x, torch.float16, scale=2.0) == 0.0
    assert numerics.flushed_share(x, torch.bfloat16) == 0.0
    assert numerics.flushed_share(torch.zeros(3), torch.float16) is None


def test_died_looks_at_the_gradient_that_was_seen() -> None:
    true, seen = torch.tensor([1.0, 2.0, 0.0, 4.0]), torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert numerics.died_share(true, seen) == pytest.approx(2 / 3)
    assert numerics.died_share(torch.zeros(2), seen[:2]) is None


def test_near_overflow_is_within_two_doublings_and_counts_what_has_gone() -> None:
    x = torch.tensor([65504.0, 65504.0 / 4, 65504.0 / 4.001, 1.0, math.inf, math.nan, -65504.0, 0.0])
    assert numerics.near_overflow_share(x, torch.float16) == 5 / 8
    assert numerics.near_overflow_share(torch.tensor([16.0, 15.0]), torch.float16, scale=1024.0) == 0.5
    assert numerics.near_overflow_share(torch.zeros(0), torch.float16) is None


def test_exponents_are_those_of_frexp_less_one() -> None:
    values = [*numbers(500, seed=3), 1.0, -1.0, 0.5, 2.0**-149, 0.0, math.inf, math.nan]
    found = numerics.exponents(torch.tensor(values).view(3, -1))
    expected: dict[int, int] = {}
    for x in values:
        if x and math.isfinite(x):
            e = math.frexp(x)[1] - 1
            expected[e] = expected.get(e, 0) + 1
    assert found.counts == expected
    assert (found.num_zero, found.num_not_finite) == (1, 2)
    assert found.largest == max(expected)
    assert numerics.exponents(torch.zeros(4)).largest is None


@pytest.mark.parametrize("name", FORMATS)
def test_an_ulp_is_the_gap_to_the_next_number(name: str) -> None:
    dtype = FORMATS[name][0]
    values = torch.tensor([*numbers(300, seed=4), 0.0, 1.0, -1.0, 2.0**-24, 2.0**-14, 1 - 2.0**-11]).to(dtype)
    values = values[values.isfinite()]
    assert numerics.ulp(values, dtype).double().tolist() == [
        float(exact_ulp(x, name)) for x in values.double().tolist()
    ]


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_an_update_is_lost_below_half_an_ulp(name: str) -> None:
    dtype, draw = FORMATS[name][0], random.Random(5)
    weights = torch.tensor([draw.uniform(-2, 2) for _ in range(400)]).to(dtype)
    updates = torch.tensor([draw.choice((-1, 1)) * 2.0 ** draw.uniform(-20, -4) for _ in range(399)] + [0.0])
    lost = [
        abs(Fraction(u)) < exact_ulp(w, name) / 2
        for w, u in zip(weights.double().tolist(), updates.double().tolist(), strict=True)
        if u
    ]
    assert 0 < sum(lost) < len(lost)
    assert numerics.lost_update_share(weights, updates, dtype) == pytest.approx(sum(lost) / len(lost))


def test_lost_updates_by_hand() -> None:
    """bf16 has 8 digits: next to 1 the gap is 2^-7, half of it 2^-8."""
    weight = torch.ones(4, dtype=torch.bfloat16)
    update = torch.tensor([2.0**-8, 0.99 * 2.0**-8, -(2.0**-10), 0.0])
    assert numerics.lost_update_share(weight, update, torch.bfloat16) == pytest.approx(2 / 3)
    assert numerics.lost_update_share(weight, torch.zeros(4), torch.bfloat16) is None


def test_unmoved_counts_only_weights_with_a_gradient() -> None:
    before, after = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])
    assert numerics.unmoved_share(before, after, torch.tensor([1.0, 1.0, 0.0])) == 0.5
    assert numerics.unmoved_share(before, after, torch.zeros(3)) is None


def test_distance_is_relative_to_the_reference() -> None:
    reference = torch.tensor([3.0, 4.0])
    assert numerics.relative_distance(torch.tensor([3.0, 4.5]), reference) == pytest.approx(0.1)
    assert numerics.relative_distance(torch.tensor([math.nan, 4.0]), reference) == math.inf
    assert numerics.relative_distance(reference, torch.zeros(2)) is None


@pytest.mark.parametrize(
    ("largest", "scale", "bits"), [(0, 1.0, 15), (0, 1024.0, 5), (3, 2.0**16, -4), (None, 1.0, None)]
)
def test_headroom_in_fp16_counts_doublings(largest: int | None, scale: float, bits: float | None) -> None:
    assert numerics.headroom_bits(largest, torch.float16, scale) == bits
