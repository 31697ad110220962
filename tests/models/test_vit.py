"""Vision transformers: properties of the network of study S1, in tiny sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ampbench import models
from ampbench.models.transformer import Preset, Transformer, official
from ampbench.models.vit import Embeddings, ViT

TINY: dict[str, Any] = {"hidden": 32, "num_layers": 2, "num_heads": 4, "image_size": 32, "patch_size": 8}


TINY_PRESET = Preset(hidden=32, num_heads=4, num_layers=2)


PIXELS = torch.linspace(-1, 1, 2 * 3 * 32 * 32).sin().view(2, 3, 32, 32)


class TinyViT(ViT):
    input_shape = (3, 32, 32)
    num_classes = 10

    def __init__(self) -> None:
        super().__init__(**TINY)


class TinyOfficial(Transformer):
    input_shape = (3, 32, 32)
    num_classes = 10

    def __init__(self) -> None:
        super().__init__(official(TINY_PRESET), Embeddings(32, image_size=32, patch_size=8))


def test_a_vit_b16_holds_196_patches_a_class_token_and_their_positions() -> None:
    with torch.device("meta"):
        embeddings = models.build("ViT_B16", input_shape=(3, 224, 224)).embeddings
    assert embeddings.patches.grid == (14, 14)
    assert embeddings.cls_token.shape == (1, 1, 768)
    assert embeddings.positions.shape == (1, 197, 768)


@pytest.mark.parametrize("name", [name for family in models.SIZED for name in models.FAMILIES[family]])
def test_positions_are_made_for_the_images_that_the_data_has(name: str) -> None:
    with torch.device("meta"):
        model = models.build(name, num_classes=7, input_shape=(1, 48, 32))
    assert model.embeddings.positions.shape[1] == 1 + 3 * 2
    assert model.embeddings.patches.projection.in_channels == 1
    assert model.head.out_features == 7


def test_labels_bring_the_loss_before_the_logits() -> None:
    model, y_N = TinyViT(), torch.tensor([3, 7])
    loss, logits_NK = model(PIXELS, y_N)
    assert torch.equal(logits_NK, model(PIXELS))
    torch.testing.assert_close(loss, F.cross_entropy(logits_NK, y_N))


def test_without_pixels_there_is_nothing_to_do() -> None:
    with pytest.raises(ValueError, match="no pixels; pass images"):
        TinyViT()(labels=torch.tensor([3]))


def test_images_of_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="of 1 channels, the model is for 3; build it with num_channels=1"):
        TinyViT()(PIXELS[:, :1])


def test_images_of_another_size_are_refused_unless_positions_are_interpolated() -> None:
    model, wide = TinyViT(), torch.randn(1, 3, 32, 48)
    with pytest.raises(ValueError, match=r"\(32, 48\), the model is for \(32, 32\); resize them or pass interp"):
        model(wide)
    assert model(wide, interpolate_pos_encoding=True).shape == (1, 10)


def test_an_image_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(8, 8\) holds no patch of \(16, 16\); raise image_size"):
        models.build("ViT_B16", input_shape=(3, 8, 8))


def test_sizes_may_be_pairs() -> None:
    embeddings = Embeddings(8, image_size=[32, 16], patch_size=(8, 4))
    assert embeddings.patches.grid == (4, 4)
    assert embeddings(torch.randn(1, 3, 32, 16)).shape == (1, 17, 8)


def test_patches_come_row_by_row_behind_the_class_token() -> None:
    embeddings = Embeddings(8, image_size=32, patch_size=8)
    nn.init.zeros_(embeddings.positions)
    x_1TD = embeddings(PIXELS[:1])
    second = F.conv2d(PIXELS[:1, :, :8, 8:16], embeddings.patches.projection.weight, embeddings.patches.projection.bias)
    torch.testing.assert_close(x_1TD[:, 2], second.flatten(1))
    assert torch.equal(x_1TD[:, :1], embeddings.cls_token)


def test_masked_patches_give_way_to_the_mask_token_and_keep_their_place() -> None:
    embeddings = Embeddings(8, image_size=32, patch_size=8, mask_token=True)
    masked_NT = torch.arange(32).view(2, 16) % 3 == 0
    x_NTD, plain_NTD = embeddings(PIXELS, masked_NT), embeddings(PIXELS)
    assert torch.equal(x_NTD[:, 0], plain_NTD[:, 0])
    assert torch.equal(x_NTD[:, 1:][~masked_NT], plain_NTD[:, 1:][~masked_NT])
    hidden_NTD = (embeddings.mask_token + embeddings.positions[:, 1:]).expand(2, -1, -1)
    assert torch.equal(x_NTD[:, 1:][masked_NT], hidden_NTD[masked_NT])


def test_a_mask_needs_a_mask_token() -> None:
    with pytest.raises(ValueError, match="build the model with mask_token=True"):
        TinyViT()(PIXELS, bool_masked_pos=torch.ones(2, 16))


def test_positions_of_the_same_grid_are_not_interpolated() -> None:
    embeddings = Embeddings(8, image_size=32, patch_size=8)
    assert embeddings.positions_on((4, 4)) is embeddings.positions
    assert embeddings.positions_on((2, 8)) is not embeddings.positions  # as many patches, but in another grid


def test_interpolated_positions_are_bicubic_and_leave_the_class_token_its_own() -> None:
    embeddings = Embeddings(8, image_size=32, patch_size=8)
    positions_1TD = embeddings.positions_on((6, 8))
    assert torch.equal(positions_1TD[:, 0], embeddings.positions[:, 0])
    places_1DHW = embeddings.positions[0, 1:].T.reshape(1, 8, 4, 4)
    wanted_1DHW = F.interpolate(places_1DHW, (6, 8), mode="bicubic", align_corners=False)
    torch.testing.assert_close(positions_1TD[0, 1:].T.reshape(1, 8, 6, 8), wanted_1DHW)


def test_without_labels_to_tell_apart_the_head_is_the_identity() -> None:
    model = ViT(0, **TINY)
    assert isinstance(model.head, nn.Identity)
    assert model(PIXELS).shape == (2, 32)


def test_pixels_take_the_dtype_of_the_weights() -> None:
    assert TinyViT().to(torch.bfloat16)(PIXELS).dtype == torch.bfloat16


def test_every_layernorm_has_the_eps_of_the_study() -> None:
    norms = [module for module in TinyViT().modules() if isinstance(module, nn.LayerNorm)]
    assert [norm.eps for norm in norms] == [1e-12] * 5


@pytest.mark.parametrize(
    "build",
    [
        lambda: ViT(1000, hidden=64, num_layers=2, num_heads=4, mask_token=True),
        lambda: Transformer(official(Preset(hidden=64, num_heads=4, num_layers=2)), Embeddings(64), 1000),
    ],
)
def test_weights_start_normal_at_a_fiftieth_biases_at_zero_and_layernorms_at_one(
    build: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(0)
    for name, p in build().state_dict().items():
        if name.endswith("bias"):
            assert p.count_nonzero() == 0, name
        elif p.dim() == 1:
            assert (p == 1).all(), name
        else:
            assert float(p.std()) == pytest.approx(0.02, rel=0.4 if p.numel() < 100 else 0.06), name
            assert abs(float(p.mean())) < 0.01, name
