"""Which recipes an advice compares where a person names none: those that could win on this machine."""

from __future__ import annotations

from ampbench.bench.machine.cpu import SixteenBit
from ampbench.bench.machine.hardware import Hardware
from ampbench.schema.choices import Choice

ON_GPU = {"tf32": "tf32", "bf16_amp": "bf16", "bf16": "bf16", "fp16_amp_scaled": "fp16"}
"""Recipe -> the ability of a GPU that it needs. Pure fp16 and fp16 without a loss scale are for studies: they lose
gradients, and are no faster than the others."""
ON_CPU: dict[str, SixteenBit] = {"bf16_amp": "bf16", "bf16": "bf16", "fp16_amp_scaled": "fp16"}
"""The same for the instructions of a CPU."""
REFERENCE = "fp32"
ALWAYS = "bf16_amp"
"""Timed on a CPU without instructions for it too: an advice to stay with fp32 rests on a measurement, not on a list."""


def recipes_for(hardware: Hardware) -> tuple[Choice, tuple[str, ...]]:
    """Return the recipes to compare, the reference first, and why these."""
    if hardware.gpus:
        able = {recipe: need in hardware.gpus[0].abilities for recipe, need in ON_GPU.items()}
        where = hardware.gpus[0].name
    else:
        able = {recipe: recipe == ALWAYS or bool(hardware.cpu.of(need)) for recipe, need in ON_CPU.items()}
        where = "this CPU"
    recipes = (REFERENCE, *(recipe for recipe, is_able in able.items() if is_able))
    left_out = [recipe for recipe, is_able in able.items() if not is_able]
    why_not = (
        f"; not {', '.join(left_out)}: {where} has no instructions for it (--recipes times any)" if left_out else ""
    )
    choice = Choice(
        field="recipes",
        value=", ".join(recipes),
        reason=f"what could win here{why_not}",
        evidence="python -m ampbench hardware",
        by="rule",
    )
    return choice, recipes
