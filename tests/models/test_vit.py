"""The vision transformers: the laws of studies S0 and S1 on tiny ones, and weights from a folder of Hugging Face's."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ampbench import models
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.source import check_model
from ampbench.models.transformer import Preset, Transformer, official, written_out
from ampbench.models.vit import Block, Embeddings, ViT
from tests.models.test_models import CPU_RECIPES, loss_of_one_step

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


# The network of study S1.


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
    assert embeddings.positions_on((2, 8)) is not embeddings.positions  # as many patches, at other places


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


# The two encoders of study S0.


def test_a_block_computes_what_pytorchs_layer_does_when_told_to_normalise_first() -> None:
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
    assert float((ours_NTD - x_NTD).abs().max()) < 10  # the stream passes through, and what is added to it is small


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


# Pretrained weights: a folder in Hugging Face's format, made on the spot.

FIELDS = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "hidden_act": "gelu",
    "image_size": 32,
    "patch_size": 8,
    "num_channels": 3,
    "layer_norm_eps": 1e-12,
    "qkv_bias": True,
}


def their_weights(num_labels: int) -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = {
        "vit.embeddings.patch_embeddings.projection": (32, 3, 8, 8),
        "vit.layernorm": (32,),
        "classifier": (num_labels, 32),
    }
    for n in range(2):
        layer = f"vit.encoder.layer.{n}"
        shapes |= {f"{layer}.attention.attention.{what}": (32, 32) for what in ("query", "key", "value")}
        shapes |= {f"{layer}.attention.output.dense": (32, 32)}
        shapes |= {f"{layer}.intermediate.dense": (128, 32), f"{layer}.output.dense": (32, 128)}
        shapes |= {f"{layer}.layernorm_before": (32,), f"{layer}.layernorm_after": (32,)}
    torch.manual_seed(5)
    weights = {f"{name}.weight": 0.3 * torch.randn(shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": 0.3 * torch.randn(shape[0]) for name, shape in shapes.items()}
    weights["vit.embeddings.cls_token"] = torch.randn(1, 1, 32)
    weights["vit.embeddings.position_embeddings"] = torch.randn(1, 17, 32)
    return weights


def their_logits(weights: dict[str, Tensor], x_NCHW: Tensor) -> Tensor:
    """Compute the network under their names, every product written out."""

    def of(name: str) -> tuple[Tensor, Tensor]:
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    patches_NDHW = F.conv2d(x_NCHW, *of("vit.embeddings.patch_embeddings.projection"), stride=8)
    cls_NTD = weights["vit.embeddings.cls_token"].expand(len(x_NCHW), -1, -1)
    x_NTD = torch.cat((cls_NTD, patches_NDHW.flatten(2).mT), 1) + weights["vit.embeddings.position_embeddings"]
    for n in range(2):
        layer = f"vit.encoder.layer.{n}"
        normed_NTD = F.layer_norm(x_NTD, (32,), *of(f"{layer}.layernorm_before"), eps=1e-12)
        q_NHTE, k_NHTE, v_NHTE = (
            F.linear(normed_NTD, *of(f"{layer}.attention.attention.{what}")).view(-1, 17, 4, 8).transpose(1, 2)
            for what in ("query", "key", "value")
        )
        attended_NHTE = (q_NHTE @ k_NHTE.mT / 8**0.5).softmax(3) @ v_NHTE
        x_NTD = x_NTD + F.linear(attended_NHTE.transpose(1, 2).flatten(2), *of(f"{layer}.attention.output.dense"))
        wide_NTD = F.layer_norm(x_NTD, (32,), *of(f"{layer}.layernorm_after"), eps=1e-12)
        wide_NTD = F.gelu(F.linear(wide_NTD, *of(f"{layer}.intermediate.dense")))
        x_NTD = x_NTD + F.linear(wide_NTD, *of(f"{layer}.output.dense"))
    return F.linear(F.layer_norm(x_NTD, (32,), *of("vit.layernorm"), eps=1e-12)[:, 0], *of("classifier"))


def save(folder: Path, weights: dict[str, Tensor], suffix: str = "bin", **fields: Any) -> str:
    """Write a checkpoint and return the name of the model."""
    (folder / "config.json").write_text(json.dumps(FIELDS | fields))
    if suffix == "bin":
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        pytest.importorskip("safetensors.torch").save_file(weights, folder / "model.safetensors")
    return f"hf:{folder}"


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_a_pretrained_folder_gives_the_logits_of_its_own_network(tmp_path: Path, suffix: str) -> None:
    weights = their_weights(10)
    name = save(tmp_path, weights, suffix)
    check_model(name)
    torch.testing.assert_close(models.build(name)(PIXELS), their_logits(weights, PIXELS), atol=1e-4, rtol=1e-4)


def test_dropouts_are_those_of_the_folder_unless_the_experiment_says_others(tmp_path: Path) -> None:
    name = save(tmp_path, their_weights(10), hidden_dropout_prob=0.25, attention_probs_dropout_prob=0.5)
    block = models.build(name).blocks[0]
    assert (block.projection_dropout.p, block.mlp[-1].p, block.attention_dropout_prob) == (0.25, 0.25, 0.5)
    block = models.build(name, projection_dropout_prob=0.0, qk_scale=0.5).blocks[0]
    assert (block.projection_dropout.p, block.mlp[-1].p, block.qk_scale) == (0.0, 0.25, 0.5)
    with pytest.raises(ValueError, match="hidden_dropout_prob = 2 should be a share"):
        models.build(save(tmp_path, their_weights(10), hidden_dropout_prob=2))


def test_transformers_own_network_gives_the_same_logits(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.ViTForImageClassification(transformers.ViTConfig(**FIELDS, num_labels=10)).eval()
    theirs.save_pretrained(tmp_path)
    difference = models.build(f"hf:{tmp_path}")(PIXELS) - theirs(PIXELS).logits
    assert float(difference.detach().abs().max()) < 1e-4


def test_a_head_of_another_size_is_replaced_and_that_is_said(tmp_path: Path) -> None:
    weights = their_weights(1000)
    said = "head of 1000 classes is replaced by a fresh one of 10"
    with pytest.warns(UserWarning, match=said):
        model = models.build(save(tmp_path, weights))
    assert model.head.weight.shape == (10, 32)
    assert torch.equal(model.norm.weight, weights["vit.layernorm.weight"])
    assert model.note.endswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vit.layernorm.bias": None}, "missing: vit.layernorm.bias; unexpected: none; save it again from transf"),
        ({"vit.pooler.dense.bias": torch.zeros(32)}, "missing: none; unexpected: vit.pooler.dense.bias; save it"),
        ({f"extra{n}": torch.zeros(1) for n in range(5)}, "unexpected: extra0, extra1, extra2 and 2 more"),
        ({"vit.layernorm.bias": torch.zeros(31)}, r"norm.bias is \(31,\), by config.json \(32,\); weights and"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    weights = {name: tensor for name, tensor in (their_weights(10) | change).items() if tensor is not None}
    with pytest.raises(ValueError, match=said):
        models.build(save(tmp_path, weights))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model_type", "deit", "model_type = 'deit', models/vit.py has 'vit'; write a factory for it"),
        ("layer_norm_eps", 1e-6, "layer_norm_eps = 1e-06, models/vit.py has 1e-12"),
        ("intermediate_size", 96, "intermediate_size = 96, models/vit.py has 128; write a factory for it"),
        ("image_size", 224, r"for images of \(3, 224, 224\), the data \(3, 32, 32\); change image_size"),
    ],
)
def test_a_folder_of_another_network_is_refused(tmp_path: Path, field: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        models.build(save(tmp_path, {}, **{field: value}))


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"PK\x03\x04 and so on", *(pickle.dumps(x, protocol=2) for x in (Preset, [1, 2], {"a": 1}))],
    ids=["empty", "garbage", "truncated", "class", "list", "number"],
)
def test_weights_that_cannot_be_read_are_one_line_with_the_file(tmp_path: Path, content: bytes) -> None:
    name = save(tmp_path, {})
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: (is truncated|holds something else).*again$"):
        models.build(name)


def test_whole_numbers_for_weights_are_refused(tmp_path: Path) -> None:
    weights = their_weights(10)
    weights["vit.layernorm.bias"] = torch.zeros(32, dtype=torch.int8)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: holds something else than weights of floating point"):
        models.build(save(tmp_path, weights))


def test_a_query_of_another_rank_is_refused(tmp_path: Path) -> None:
    weights = their_weights(10)
    weights["vit.encoder.layer.0.attention.attention.query.weight"] = torch.zeros(32)
    with pytest.raises(ValueError, match=r"weights do not fit together \(Tensors must have same number"):
        models.build(save(tmp_path, weights))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[]", "is no table of fields"),
        (b'{"patch_size": null}', "patch_size = None is no whole number from 1"),
        (b'{"num_hidden_layers": 2.0}', r"num_hidden_layers = 2\.0 is no whole number"),
        (b'{"hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 5}', "does not part into 5 heads"),
    ],
)
def test_a_broken_config_is_one_line_with_the_file(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"config\.json: .*{said}"):
        models.build(f"hf:{tmp_path}")


def test_a_folder_without_weights_or_config_is_refused(tmp_path: Path) -> None:
    name = f"hf:{tmp_path}"
    with pytest.raises(RequestError, match=r"no config.json in .*; name a folder written by save_pretrained"):
        check_model(name)
    with pytest.raises(ValueError, match=r"no .*config.json; name a folder written by save_pretrained"):
        models.build(name)
    save(tmp_path, {})
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match=r"no model.safetensors and no pytorch_model.bin; copy one beside config"):
        models.build(name)


def test_safetensors_without_its_package_names_the_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = save(tmp_path, {})
    (tmp_path / "model.safetensors").touch()
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match="needs the package safetensors; pip install safetensors"):
        models.build(name)


def test_a_folder_is_not_read_for_shapes_alone(tmp_path: Path) -> None:
    name = save(tmp_path, {})
    with torch.device("meta"):
        assert models.build(name)(PIXELS.to("meta")).shape == (2, 10)
