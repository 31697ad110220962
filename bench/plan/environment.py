"""`environment`: variables that a worker sets before CUDA and NCCL start, a table in a file, a line of JSON elsewhere.

    environment = {NCCL_P2P_DISABLE = 1, PYTORCH_ALLOC_CONF = "expandable_segments:True"}

They change what runs, so they belong to a cell, and only these few are known: a variable that torch, CUDA and NCCL do
not read would change nothing without a word. A worker is forked from a process that has loaded torch but not started
CUDA. Each of these variables is read later than that: NCCL's when a communicator is made, CUDA's by the driver when it
starts, cuBLAS's with its handle, and the allocator's settings at the first allocation (c10/cuda/CUDAAllocatorConfig.h;
a test asks torch for them). The allocator's `backend` alone is chosen when torch is loaded, and is refused here.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator

ALLOCATOR = "PYTORCH_ALLOC_CONF"
OLD_ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"
"""The older name; torch reads it first, so that it hides `ALLOCATOR`."""


class Variable(NamedTuple):
    """What a variable may be set to."""

    fits: Callable[[str], bool]
    words: str
    """What the value should be, as it stands in an error message after `should be`."""


def _one_of(*words: str) -> Variable:
    return Variable(lambda text: text in words, f"one of {', '.join(words)}")


SWITCH = _one_of("0", "1")

ALLOCATOR_SETTINGS = {
    "expandable_segments": r"True|False",
    "garbage_collection_threshold": r"0?\.\d+",
    "max_non_split_rounding_mb": r"[1-9]\d{0,5}",
    "max_split_size_mb": r"[1-9]\d{0,5}",
    "roundup_power2_divisions": r"1|2|4|8|16",
}
"""Setting of torch's allocator -> its values (torch's notes on CUDA, "Optimizing memory usage")."""


def _is_of_allocator(text: str) -> bool:
    parts = [part.partition(":") for part in text.split(",")]
    return all(re.fullmatch(ALLOCATOR_SETTINGS.get(name, r"(?!)"), value) for name, _, value in parts)


VARIABLES: dict[str, Variable] = {
    "NCCL_P2P_DISABLE": SWITCH,
    "NCCL_P2P_LEVEL": _one_of("LOC", "NVL", "PIX", "PXB", "PHB", "SYS"),
    "NCCL_IB_DISABLE": SWITCH,
    "NCCL_SHM_DISABLE": SWITCH,
    "NCCL_DEBUG": _one_of("VERSION", "WARN", "INFO", "TRACE"),
    "CUDA_LAUNCH_BLOCKING": SWITCH,
    "CUDA_DEVICE_MAX_CONNECTIONS": Variable(
        lambda text: bool(re.fullmatch(r"[1-9]|[12]\d|3[0-2]", text)), "a whole number from 1 to 32"
    ),
    "CUDA_MODULE_LOADING": _one_of("LAZY", "EAGER"),
    "CUBLAS_WORKSPACE_CONFIG": Variable(
        lambda text: bool(re.fullmatch(r"(:\d{1,6}:\d{1,3})+", text)), "sizes and numbers of buffers, as in :4096:8"
    ),
    ALLOCATOR: Variable(
        _is_of_allocator,
        f"settings with their values, as in expandable_segments:True,max_split_size_mb:128; known are "
        f"{', '.join(ALLOCATOR_SETTINGS)}",
    ),
}
"""Variable -> its values, of NCCL (its user guide, "Environment variables"), CUDA, cuBLAS and torch."""

BETWEEN_GPUS = "NCCL_"
"""Beginning of the variables that act on cells on several GPUs only."""


def as_text(table: Any) -> str | None:
    """Return a table of variables as JSON with sorted keys and values as text; None for an empty one.

    Raises:
        ValueError: it is no table, a variable is not known, or it cannot have this value.
    """
    if not isinstance(table, dict):
        raise ValueError("is no table of variables; write it as {NCCL_P2P_DISABLE = 1}")
    return json.dumps({name: _value(name, table[name]) for name in sorted(table)}) if table else None


def as_variables(text: str | None) -> dict[str, str]:
    """Return the variables that `as_text` wrote."""
    return json.loads(text) if text else {}


def _value(name: str, value: Any) -> str:
    if name == OLD_ALLOCATOR:
        raise ValueError(f"names {name}, which torch calls {ALLOCATOR} now; write that")
    if name not in VARIABLES:
        near = difflib.get_close_matches(name, VARIABLES, n=1)
        move = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(VARIABLES)}."
        raise ValueError(f"sets {name!r}, which is not known here. {move}")
    text = str(int(value)) if isinstance(value, (bool, int)) else value
    if name == ALLOCATOR and isinstance(text, str) and "backend" in text:
        raise ValueError(
            f"sets {name} to {text!r}, but torch chooses its backend when it is loaded, before a cell begins: export "
            f"{name}={text} before the command, for all cells"
        )
    if not isinstance(text, str) or not VARIABLES[name].fits(text):
        raise ValueError(f"sets {name} to {value!r}; it should be {VARIABLES[name].words}")
    return text


def why_hidden(variables: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    """Say which variable of the shell would hide one of a cell, and what to do; None if none would."""
    if ALLOCATOR in variables and environ.get(OLD_ALLOCATOR):
        return (
            f"{OLD_ALLOCATOR}={environ[OLD_ALLOCATOR]} is set, which torch reads instead of {ALLOCATOR} of "
            f"environment = {{…}}; unset {OLD_ALLOCATOR}"
        )
    return None


Environment = Annotated[str | None, BeforeValidator(as_text)]
