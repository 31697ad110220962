"""Student's interval of many samples at once, written apart from ours, to hold the simulations of the tests against."""

from __future__ import annotations

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray


def t_interval(d: ArrayLike, alpha: float = 0.05) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the interval at `1 - alpha` over the last axis."""
    values = np.asarray(d, dtype=np.float64)
    mean, sem = values.mean(axis=-1), scipy.stats.sem(values, axis=-1)
    low, high = scipy.stats.t.interval(1 - alpha, values.shape[-1] - 1, mean, sem)
    return low, high
