"""Factories that change settings of the process; each is named in experiments as tests.support.meddling:NAME."""

from __future__ import annotations

import os
import random

import numpy as np
import torch
from torch import Tensor, nn

from tests.support.tiny import FromFirstInput, Net


def wide() -> Net:
    torch.set_default_dtype(torch.float64)
    return Net().float()


def narrow() -> Net:
    torch.set_default_dtype(torch.bfloat16)
    return Net().float()


def everything() -> Net:
    """Change every setting, in the older way and in the newer."""
    torch.set_num_threads(3)
    torch.set_grad_enabled(False)
    torch.set_autocast_enabled("cpu", True)
    torch.set_autocast_dtype("cpu", torch.float16)
    torch.set_autocast_cache_enabled(False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("medium")
    torch.backends.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic = True
    torch.backends.mkldnn.enabled = not torch.backends.mkldnn.enabled
    torch.backends.cuda.enable_flash_sdp(False)
    torch.autograd.set_detect_anomaly(True)
    np.seterr(all="raise")
    with torch.enable_grad():
        return Net()


def seeded() -> Net:
    """Seed every generator with the same number whatever the cell's seed, as if it began a script."""
    torch.manual_seed(1234)
    random.seed(1234)
    np.random.seed(1234)
    return Net()


class InForward(Net):
    """Sets a default dtype in its forward pass."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        torch.set_default_dtype(torch.float64)
        return super().forward(x_NCHW)


def switching() -> Net:
    os.environ["NVIDIA_TF32_OVERRIDE"] = "1"
    return Net()


class Lazy(FromFirstInput, Net):
    """A network of such layers, with a dropout."""


class LateWeight(Net):
    """Makes a weight in its first step, which no optimizer knows."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if not hasattr(self, "scale"):
            self.scale = nn.Parameter(torch.ones(1))
        return super().forward(x_NCHW * self.scale.to(x_NCHW))


class ReplacedWeight(Net):
    """Puts another weight in the place of one that the optimizer updates."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        self.linear.weight = nn.Parameter(self.linear.weight.detach().clone())
        return super().forward(x_NCHW)
