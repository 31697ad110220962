"""The two encoders of study S0, in tiny sizes: pre-norm or post-norm, initialisation, and training."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ampbench.models.transformer import official, written_out
from ampbench.models.vit import Block
from tests.models.test_models import CPU_RECIPES, loss_of_one_step
from tests.models.test_vit import PIXELS, TINY_PRESET, TinyOfficial, TinyViT


def test_a_block_computes_the_same_as_pytorchs_layer_with_norm_first() -> None:
    block = Block(32, 4, eps=1e-5)
    layer = nn.TransformerEncoderLayer(
        32, 4, dim_feedforward=128, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    qkv = {"self_attn.in_proj_weight": block.qkv.weight, "self_attn.in_proj_bias": block.qkv.bias}
    ours = {"self_attn.out_proj": block.out, "linear1": block.mlp[0], "linear2": block.mlp[2]}
    ours |= {"norm1": block.norm1, "norm2": block.norm2}
    layer.load_state_dict(qkv | {f"{n}.{k}": t for n, module in ours.items() for k, t in module.state_dict().items()})
    x_NTD = torch.randn(2, 5, 32)
    torch.testing.assert_close(block(x_NTD), layer(x_NTD))


def test_the_official_encoder_normalises_after_and_ours_before() -> None:
    x_NTD = 100 * torch.randn(2, 5, 32)
    spread_NT = official(TINY_PRESET)(x_NTD).std(2, correction=0)
    torch.testing.assert_close(spread_NT, torch.ones(2, 5))
    ours_NTD = written_out(TINY_PRESET)(x_NTD).detach()
    assert float((ours_NTD - x_NTD).abs().max()) < 10  # the residual path keeps x, and the blocks add little to it


def test_the_official_encoder_starts_with_other_weights_in_every_layer() -> None:
    model = TinyOfficial()
    first, second = (dict(layer.named_parameters()) for layer in model.encoder.layers)
    equal = [name for name, p in first.items() if torch.equal(p, second[name])]
    assert all("norm" in name or "bias" in name for name in equal)


def test_the_official_encoder_gives_in_evaluation_what_it_gives_in_training() -> None:
    model = TinyOfficial()
    logits_NK = model(PIXELS).detach()
    with torch.no_grad():  # here PyTorch takes its fast path
        torch.testing.assert_close(model.eval()(PIXELS), logits_NK)


@pytest.mark.parametrize("name", ["TinyViT", "TinyOfficial"])
def test_a_tiny_transformer_trains_under_autocast(name: str) -> None:
    assert loss_of_one_step(f"tests.models.test_vit:{name}", "bf16_amp").isfinite()


@pytest.mark.whole
@pytest.mark.parametrize("recipe", CPU_RECIPES)
@pytest.mark.parametrize("name", ["TinyViT", "TinyOfficial"])
def test_a_tiny_transformer_trains_in_every_recipe(name: str, recipe: str) -> None:
    assert loss_of_one_step(f"tests.models.test_vit:{name}", recipe).isfinite()


TINY_ONES = [TinyViT, TinyOfficial]


@pytest.mark.parametrize("build", TINY_ONES)
def test_a_seed_gives_the_same_weights_and_a_state_dict_carries_them_over(build: Callable[[], nn.Module]) -> None:
    first, second = (torch.manual_seed(3) and build().eval()(PIXELS) for _ in range(2))
    assert torch.equal(first, second)
    torch.manual_seed(4)
    model, loaded = build().eval(), build().eval()
    loaded.load_state_dict(model.state_dict())
    assert torch.equal(loaded(PIXELS[:1]), model(PIXELS[:1]))


@pytest.mark.whole
@pytest.mark.parametrize("build", TINY_ONES)
@torch.no_grad()
def test_a_transformer_is_one_graph_to_the_compiler(build: Callable[[], nn.Module]) -> None:
    model = build().eval()
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(PIXELS), model(PIXELS))
