"""The random generators of the process: torch's own, of the CPU and of a GPU, Python's and NumPy's.

Dropout draws from torch's; a user's model may draw from any of them, stochastic depth for example from Python's.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

NUMPY_SEEDS = 1 << 32
"""NumPy's legacy generator takes seeds below this."""


def seed_generators(seed: int) -> None:
    """Seed them all."""
    torch.manual_seed(seed)
    seed_others(seed)


def seed_others(seed: int) -> None:
    """Seed Python's and NumPy's."""
    random.seed(seed)
    np.random.seed(seed % NUMPY_SEEDS)


def read_generators(device: torch.device) -> dict[str, Any]:
    """Return their states as tensors and plain data, which a checkpoint may hold."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "cpu_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python_rng": random.getstate(),
        "numpy_rng": (kind, np.asarray(keys).tolist(), *rest),
    }


def rewind_generators(state: dict[str, Any], device: torch.device) -> None:
    """Set them back to a state."""
    torch.set_rng_state(state["cpu_rng"])
    if state["cuda_rng"] is not None:
        torch.cuda.set_rng_state(state["cuda_rng"], device)
    random.setstate(state["python_rng"])
    kind, keys, *rest = state["numpy_rng"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
