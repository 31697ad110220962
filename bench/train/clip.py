"""Gradient clipping by the global norm, in every recipe on the true scale and without a wait."""

from __future__ import annotations

import torch
from torch.optim import Optimizer

from ampbench.bench.train.precision.scaler import Scaler


def no_clip(_optimizer: Optimizer, _scaler: Scaler) -> None:
    """Leave the gradients as they are."""


class Clip:
    """Scales all gradients of an optimizer down together where their norm exceeds `max_norm`.

    Pascanu, Mikolov and Bengio, 2013, "On the difficulty of training recurrent neural networks", section 3.2. The norm
    is taken in fp32 whatever the gradients' dtype: the square of 256 is infinite in fp16.

    Called between backward and the scaler's step. fp32 gradients are first unscaled. 16-bit ones keep their static
    scale, which the fused optimizer divides out in fp32, so their norm is compared with `max_norm` times that scale. A
    gradient that is not finite stays so, and the scaler skips the step.
    """

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

    @torch.no_grad()
    def __call__(self, optimizer: Optimizer, scaler: Scaler) -> None:
        """Clip the gradients of everything that the optimizer updates."""
        present = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        gradients = [torch.view_as_real(g) if g.is_complex() else g for g in present]
        limit = self.max_norm
        if all(gradient.dtype in (torch.float32, torch.float64) for gradient in gradients):
            scaler.unscale_(optimizer)
        else:
            limit *= scaler.static_factor or 1.0
        norms = torch._foreach_norm([g.float() if g.dtype == torch.float64 else g for g in gradients], 2, torch.float32)
        norm = torch.linalg.vector_norm(torch.stack(norms))
        torch._foreach_mul_(gradients, (limit / norm).clamp(max=1.0))
