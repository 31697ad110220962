"""Images and statistics for tests of what is drawn at random."""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor

from ampbench.bench.train.augmentation.augment import Normalize

CPU = torch.device("cpu")


COUNT = 10_000
"""Number of images of a statistic; a test passes if its p-value is above 0.001, with a fixed seed."""


MEAN, STD = (0.49, 0.48, 0.44), (0.2, 0.19, 0.21)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def noise(count: int, size: int = 16) -> Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=seeded())


def normalize(dtype: torch.dtype = torch.float32, size: int = 0) -> Normalize:
    return Normalize(MEAN, STD, dtype=dtype, memory_format=torch.channels_last, device=CPU, size=size)


def assert_uniform(samples: Tensor, low: float, high: float) -> None:
    assert stats.kstest(samples.numpy(), stats.uniform(low, high - low).cdf, method="asymp").pvalue > 1e-3
