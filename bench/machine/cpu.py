"""What a CPU is: its name, and which 16-bit types its matrix products and convolutions have instructions for.

An instruction is not yet a fast training: oneDNN, torch's library there, has no kernel for the weight gradients of fp16
convolutions with AVX512-FP16 alone. So each extension says whether a training was faster with it, and who measured it.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SixteenBit = Literal["bf16", "fp16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Extension:
    """Instructions of a CPU for a 16-bit type."""

    flag: str
    """As /proc/cpuinfo writes it."""
    dtype: SixteenBit
    is_fast: bool | None
    """Whether a training in this type is faster than in fp32; None where nobody has measured it for ampbench."""
    because: str
    """What that rests on."""


def _measured(flag: str, dtype: SixteenBit, is_fast: bool | None, because: str) -> Extension:
    return Extension(flag=flag, dtype=dtype, is_fast=is_fast, because=because)


# On AVX-NE-CONVERT: Intel, Instruction Set Extensions Programming Reference, VCVTNEPS2BF16; it has no product.
# On BF16 and FEAT_FP16: Arm Architecture Reference Manual, BFMMLA, FMLA (half-precision).
EXTENSIONS = (
    _measured("amx_bf16", "bf16", True, "1.8x as fast as fp32, SmallCifarNet: experiments/LOG.md, 2026-11-29"),
    _measured("avx512_bf16", "bf16", True, "2.1x as fast as fp32, ResNet18: results/epyc/throughput"),
    _measured("avx_ne_convert", "bf16", False, "it converts bf16 and multiplies in fp32: less memory, no more speed"),
    _measured("bf16", "bf16", None, "Arm's BFMMLA multiplies in bf16; not measured yet"),
    _measured("amx_fp16", "fp16", None, "oneDNN has kernels for it; not measured yet"),
    _measured("avx512_fp16", "fp16", False, "6 times as long as fp32, LeNet: experiments/LOG.md, 2026-11-22"),
    _measured("asimdhp", "fp16", None, "Arm's vectors compute in fp16; not measured yet"),
)
"""The first of a type that a CPU has decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cpu:
    """A model of CPU."""

    name: str
    extensions: tuple[Extension, ...] = ()
    """Those of `EXTENSIONS` that it has, in that order."""

    def of(self, dtype: SixteenBit) -> tuple[Extension, ...]:
        """Return its extensions for a type; the first decides."""
        return tuple(extension for extension in self.extensions if extension.dtype == dtype)

    def is_fast_in(self, dtype: SixteenBit) -> bool | None:
        """Whether a training in this type is faster than in fp32; None if that was not measured, False without any."""
        own = self.of(dtype)
        return own[0].is_fast if own else False

    def words_for(self, dtype: SixteenBit) -> str:
        """Return `bf16 (avx512_bf16)`, `fp16 slow (avx512_fp16)`, `fp16 (asimdhp), not measured` or `no fp16`."""
        own = self.of(dtype)
        if not own:
            return f"no {dtype}"
        flags = " ".join(extension.flag for extension in own)
        said = {True: "{} ({})", False: "{} slow ({})", None: "{} ({}), not measured"}
        return said[own[0].is_fast].format(dtype, flags)


def read_cpu(root: Path = Path("/")) -> Cpu:
    """Return the CPU of this machine.

    Args:
        root: the folder that holds `proc/`; another one in tests.
    """
    try:
        text = (root / "proc/cpuinfo").read_text()
    except OSError:
        text = ""
    first_core = [line.partition(":") for line in text.partition("\n\n")[0].splitlines()]
    said = {key.strip(): value.strip() for key, _, value in first_core}
    flags = set(said.get("flags", said.get("Features", "")).split())  # the second on Arm
    return Cpu(
        name=said.get("model name") or platform.processor() or platform.machine(),
        extensions=tuple(extension for extension in EXTENSIONS if extension.flag in flags),
    )
