"""ViT with one of two encoders, PyTorch's or ours: the network of study S0, which trained it on four GPUs.

Embeddings and head are the same; the name says which encoder:

    ViT_S0_small            ours: pre-norm, GELU (models/vit.py)
    ViT_S0_small_official   nn.TransformerEncoder with its defaults: post-norm, ReLU

With either encoder the small preset has the study's 4,988,682 parameters and the base preset 85,804,810. So neither
has an extra LayerNorm after the last layer, which would add 2 * hidden parameters, 512 or 1,536. The official layer
ends with a LayerNorm anyway. Ours does not, unlike the paper (Dosovitskiy et al., 2021, equation 4) and models/vit.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from ampbench.models.vit import Block, Embeddings, initialise


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """The size of an encoder; its MLP is four times as wide as its tokens."""

    hidden: int
    num_heads: int
    num_layers: int


PRESETS = {
    "small": Preset(hidden=256, num_heads=8, num_layers=6),
    "base": Preset(hidden=768, num_heads=12, num_layers=12),
}


def written_out(preset: Preset, **dropouts: Any) -> nn.Module:
    """Return the blocks of models/vit.py with the eps of the official encoder: only order and activation differ."""
    blocks = (Block(preset.hidden, preset.num_heads, eps=1e-5, **dropouts) for _ in range(preset.num_layers))
    return nn.Sequential(*blocks)


def official(preset: Preset, hidden_dropout_prob: float = 0.0) -> nn.Module:
    """Return PyTorch's encoder, post-norm with ReLU; its dropout acts in attention, in the MLP and on both outputs."""
    layer = nn.TransformerEncoderLayer(
        preset.hidden,
        preset.num_heads,
        dim_feedforward=4 * preset.hidden,
        dropout=hidden_dropout_prob,
        batch_first=True,
    )
    encoder = nn.TransformerEncoder(layer, preset.num_layers, enable_nested_tensor=False)
    for copied in encoder.layers:  # deep copies of one layer: initialise each, or all start equal
        nn.init.trunc_normal_(copied.self_attn.in_proj_weight, std=0.02)
    return encoder


class Transformer(nn.Module):
    """Embeddings, an encoder of tokens (N, T, D), and a linear head on the class token."""

    def __init__(self, encoder: nn.Module, embeddings: Embeddings, num_classes: int = 10) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.encoder = encoder
        self.head = nn.Linear(embeddings.positions.shape[2], num_classes)
        self.apply(initialise)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, C, H, W) of the embeddings' size to logits (N, K)."""
        return self.head(self.encoder(self.embeddings(x_NCHW))[:, 0])


def build(
    name: str,
    num_classes: int,
    input_shape: tuple[int, int, int] = (3, 224, 224),
    *,
    patch_size: int = 16,
    hidden: int | None = None,
    num_heads: int | None = None,
    num_layers: int | None = None,
    hidden_dropout_prob: float = 0.0,
    **dropouts: Any,
) -> nn.Module:
    """Build `ViT_S0_PRESET` or `ViT_S0_PRESET_official`, with positions for images of `input_shape`.

    Given sizes replace those of the preset. Dropouts are those of models/vit.py; the official encoder has only one.
    """
    size, _, encoder = name.removeprefix("ViT_S0_").partition("_")
    given = {"hidden": hidden, "num_heads": num_heads, "num_layers": num_layers}
    preset = replace(PRESETS[size], **{key: value for key, value in given.items() if value is not None})
    num_channels, *image_size = input_shape
    embeddings = Embeddings(
        preset.hidden,
        image_size=image_size,
        patch_size=patch_size,
        num_channels=num_channels,
        dropout=hidden_dropout_prob,
    )
    make = official if encoder else written_out
    return Transformer(make(preset, hidden_dropout_prob=hidden_dropout_prob, **dropouts), embeddings, num_classes)
