"""The loss scaler of a training: dynamic, static, or none, which is one that is disabled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from ampbench.bench.plan.loss_scale import LossScale


class Scaler(GradScaler):
    """torch's GradScaler that also counts the steps it skips, on the device, and may keep its scale constant."""

    def __init__(self, scale: LossScale, device: torch.device) -> None:
        super().__init__(
            device.type,
            enabled=scale.mode != "none",
            init_scale=scale.factor,
            growth_factor=scale.growth,
            backoff_factor=scale.backoff,
            growth_interval=scale.interval,
        )
        self.static_factor = scale.factor if scale.mode == "static" else None
        self.num_skipped = torch.zeros((), dtype=torch.float32, device=device)
        """Steps skipped so far: a scalar on the device, read only at block borders."""
        self.tally_2: Tensor | None = None
        """Of the last step, on the device: the scale that it used, and the steps skipped up to it."""

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Count a skip, then adapt the scale; a static one goes back to its power of two.

        Only the device knows of a skip: a fused optimizer reads `found_inf` in its kernel, and an unfused one is not
        called. So skips are added up on the device, and no step waits for it.
        """
        if not self.is_enabled():
            return
        for state in self._per_optimizer_states.values():
            for found_inf in state["found_inf_per_device"].values():
                self.num_skipped += found_inf
        assert self._scale is not None, "scale() came before update()"
        self.tally_2 = torch.stack((self._scale, self.num_skipped))
        super().update(self.static_factor if new_scale is None else new_scale)

    def state_dict(self) -> dict[str, Any]:
        """Return torch's own state and the skips counted so far; empty when disabled. Waits for the device."""
        return super().state_dict() | {"num_skipped": float(self.num_skipped)} if self.is_enabled() else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a state back."""
        if self.is_enabled():
            self._per_optimizer_states.clear()  # a step that raised in its middle left its part there
            super().load_state_dict({k: v for k, v in state_dict.items() if k != "num_skipped"})
            self.num_skipped.fill_(state_dict["num_skipped"])

    @property
    def factor(self) -> float | None:
        """The scale now, or None when disabled. Reading it waits for the device."""
        return float(self.get_scale()) if self.is_enabled() else None
