"""Squeeze and excitation (Hu et al., 2018, "Squeeze-and-Excitation Networks", section 3), used by three families."""

from __future__ import annotations

from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Scale each channel by a factor in (0, 1), which two small layers compute from the means of all channels."""

    def __init__(self, channels: int, squeezed_channels: int, activation: nn.Module) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed_channels, 1)
        self.activation = activation
        self.excite = nn.Conv2d(squeezed_channels, channels, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        mean_NC11 = x_NCHW.mean((2, 3), keepdim=True)
        return x_NCHW * self.excite(self.activation(self.squeeze(mean_NC11))).sigmoid()
