"""ViT-B/16, the network of study S1 (Dosovitskiy et al., 2021, "An Image is Worth 16x16 Words", section 3).

A 224x224 image is cut into 14x14 patches; each becomes a token of 768 features. A class token is put before them, a
learned position is added to each token, twelve encoder blocks with self-attention follow, and a linear layer computes
the logits from the class token.

Order, argument names and initialisation are those of Hugging Face's ViTForImageClassification, whose weights
models/pretrained.py loads. The study's dropouts are arguments, by default all 0:

    hidden_dropout_prob        of the embedded tokens, and of the MLP's output in every block
    attention_dropout_prob     of the attention weights
    projection_dropout_prob    of the attention's output in every block
    qk_scale                   factor on the products of queries and keys; by default E^-1/2 for heads of E features
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Patches(nn.Module):
    """Cut images into patches and project each: a convolution whose stride is its kernel size."""

    def __init__(
        self, hidden: int, *, image_size: int | Iterable[int], patch_size: int | Iterable[int], num_channels: int
    ) -> None:
        super().__init__()
        self.image_size, self.patch_size = pair(image_size), pair(patch_size)
        self.grid = self.grid_of(self.image_size)
        if 0 in self.grid:
            raise ValueError(f"an image of {self.image_size} holds no patch of {self.patch_size}; raise image_size")
        self.projection = nn.Conv2d(num_channels, hidden, self.patch_size, stride=self.patch_size)

    def grid_of(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Return how many rows and columns of patches an image has; a remainder at its edge is not used."""
        return image_size[0] // self.patch_size[0], image_size[1] // self.patch_size[1]

    def forward(self, x_NCHW: Tensor, any_size: bool = False) -> Tensor:
        """Map images (N, C, H, W) of any dtype to tokens (N, T, D), row by row.

        Raises:
            ValueError: the number of channels differs from the weights', or the size differs without `any_size`.
        """
        _, num_channels, height, width = x_NCHW.shape
        if num_channels != self.projection.in_channels:
            raise ValueError(
                f"images of {num_channels} channels, the model is for {self.projection.in_channels}; "
                f"build it with num_channels={num_channels}"
            )
        if (height, width) != self.image_size and not any_size:
            raise ValueError(
                f"images of {(height, width)}, the model is for {self.image_size}; "
                "resize them or pass interpolate_pos_encoding=True"
            )
        return self.projection(x_NCHW.to(self.projection.weight.dtype)).flatten(2).transpose(1, 2)


class Embeddings(nn.Module):
    """A class token followed by the patches, with a learned position added to each."""

    def __init__(
        self,
        hidden: int,
        *,
        image_size: int | Iterable[int] = 224,
        patch_size: int | Iterable[int] = 16,
        num_channels: int = 3,
        mask_token: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.patches = Patches(hidden, image_size=image_size, patch_size=patch_size, num_channels=num_channels)
        rows, columns = self.patches.grid
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, hidden))
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, hidden)) if mask_token else None
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + rows * columns, hidden))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_NCHW: Tensor, masked_NT: Tensor | None = None, interpolate: bool = False) -> Tensor:
        """Map images (N, C, H, W) to tokens (N, 1 + T, D), the class token first.

        Args:
            x_NCHW: images.
            masked_NT: true where the mask token replaces a patch.
            interpolate: whether images may have another size than the positions.

        Raises:
            ValueError: images of another shape, or a mask without a mask token.
        """
        x_NTD = self.patches(x_NCHW, any_size=interpolate)
        if masked_NT is not None:
            if self.mask_token is None:
                raise ValueError("bool_masked_pos needs a mask token; build the model with mask_token=True")
            x_NTD = torch.where(masked_NT.bool().unsqueeze(2), self.mask_token, x_NTD)
        x_NTD = torch.cat((self.cls_token.expand(len(x_NTD), -1, -1), x_NTD), 1)
        return self.dropout(x_NTD + self.positions_on(self.patches.grid_of(x_NCHW.shape[2:])))

    def positions_on(self, grid: tuple[int, int]) -> Tensor:
        """Return the positions (1, 1 + T, D) for a grid: bicubic interpolation, the class token's unchanged."""
        if grid == self.patches.grid:
            return self.positions
        places_1DHW = self.positions[:, 1:].transpose(1, 2).unflatten(2, self.patches.grid)
        places_1DHW = F.interpolate(places_1DHW, size=grid, mode="bicubic", align_corners=False)
        return torch.cat((self.positions[:, :1], places_1DHW.flatten(2).transpose(1, 2)), 1)


class Block(nn.Module):
    """Self-attention, then an MLP with GELU, each with a LayerNorm before it and added to its input (pre-norm)."""

    def __init__(
        self,
        hidden: int,
        num_heads: int,
        *,
        mlp_ratio: int = 4,
        qkv_bias: bool = True,
        eps: float = 1e-12,
        hidden_dropout_prob: float = 0.0,
        attention_dropout_prob: float = 0.0,
        projection_dropout_prob: float = 0.0,
        qk_scale: float | None = None,
    ) -> None:
        super().__init__()
        if hidden % num_heads:
            raise ValueError(f"hidden = {hidden} is not divisible by {num_heads} heads; change one of them")
        self.num_heads = num_heads
        self.attention_dropout_prob = attention_dropout_prob
        self.qk_scale = qk_scale
        self.norm1 = nn.LayerNorm(hidden, eps=eps)
        self.qkv = nn.Linear(hidden, 3 * hidden, bias=qkv_bias)
        self.out = nn.Linear(hidden, hidden)
        self.projection_dropout = nn.Dropout(projection_dropout_prob)
        self.norm2 = nn.LayerNorm(hidden, eps=eps)
        inner = mlp_ratio * hidden
        self.mlp = nn.Sequential(
            nn.Linear(hidden, inner), nn.GELU(), nn.Linear(inner, hidden), nn.Dropout(hidden_dropout_prob)
        )

    def forward(self, x_NTD: Tensor) -> Tensor:
        """Map tokens (N, T, D) to the same shape, with H heads of E features."""
        qkv_3NHTE = self.qkv(self.norm1(x_NTD)).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.attention_dropout_prob if self.training else 0.0
        q_NHTE, k_NHTE, v_NHTE = qkv_3NHTE.unbind(0)
        attended_NHTE = F.scaled_dot_product_attention(q_NHTE, k_NHTE, v_NHTE, dropout_p=dropout, scale=self.qk_scale)
        x_NTD = x_NTD + self.projection_dropout(self.out(attended_NHTE.transpose(1, 2).flatten(2)))
        return x_NTD + self.mlp(self.norm2(x_NTD))


class ViT(nn.Module):
    """Embeddings, blocks, a last LayerNorm and a linear head; the defaults are ViT-B/16."""

    def __init__(
        self,
        num_labels: int = 10,
        *,
        hidden: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        image_size: int | Iterable[int] = 224,
        patch_size: int | Iterable[int] = 16,
        num_channels: int = 3,
        mask_token: bool = False,
        hidden_dropout_prob: float = 0.0,
        attention_dropout_prob: float = 0.0,
        projection_dropout_prob: float = 0.0,
        qk_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.embeddings = Embeddings(
            hidden,
            image_size=image_size,
            patch_size=patch_size,
            num_channels=num_channels,
            mask_token=mask_token,
            dropout=hidden_dropout_prob,
        )
        block = partial(
            Block,
            hidden,
            num_heads,
            hidden_dropout_prob=hidden_dropout_prob,
            attention_dropout_prob=attention_dropout_prob,
            projection_dropout_prob=projection_dropout_prob,
            qk_scale=qk_scale,
        )
        self.blocks = nn.Sequential(*(block() for _ in range(num_layers)))
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.head = nn.Linear(hidden, num_labels) if num_labels > 0 else nn.Identity()
        self.apply(initialise)

    def forward(
        self,
        pixels: Tensor | None = None,
        labels: Tensor | None = None,
        bool_masked_pos: Tensor | None = None,
        interpolate_pos_encoding: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Map images to logits (N, K), or, given labels, to the mean cross-entropy (fp32) and the logits.

        Args:
            pixels: images (N, C, H, W), cast to the weights' dtype.
            labels: classes (N).
            bool_masked_pos: (N, T), true where the mask token replaces a patch.
            interpolate_pos_encoding: whether images may have any size.

        Raises:
            ValueError: no pixels, pixels of another shape, or a mask without a mask token.
        """
        if pixels is None:
            raise ValueError("no pixels; pass images (N, C, H, W)")
        x_NTD = self.blocks(self.embeddings(pixels, bool_masked_pos, interpolate_pos_encoding))
        logits_NK = self.head(self.norm(x_NTD[:, 0]))  # LayerNorm acts on each token alone, and only this one is needed
        if labels is None:
            return logits_NK
        return F.cross_entropy(logits_NK.float(), labels), logits_NK


def pair(size: int | Iterable[int]) -> tuple[int, int]:
    """Return (height, width) of a size that may be one number."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def initialise(module: nn.Module) -> None:
    """Initialise weights from a normal with SD 0.02 and biases with 0; LayerNorm keeps its defaults, 1 and 0."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


def build(
    _name: str, num_classes: int, input_shape: tuple[int, int, int] = (3, 224, 224), **arguments: Any
) -> nn.Module:
    """Build ViT-B/16, or a variant with these arguments, with positions for images of `input_shape`."""
    num_channels, *image_size = input_shape
    return ViT(num_classes, image_size=image_size, num_channels=num_channels, **arguments)
