"""Weights from a folder in Hugging Face's format, written by the tests: loaded by name, or an error of one line."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ampbench import models
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.source import check_model
from ampbench.models.transformer import Preset
from tests.models.test_vit import PIXELS

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
    """Compute the network from weights under their names, with every matrix product written out."""

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
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: holds something other than floating-point weights"):
        models.build(save(tmp_path, weights))


def test_a_query_of_another_rank_is_refused(tmp_path: Path) -> None:
    weights = their_weights(10)
    weights["vit.encoder.layer.0.attention.attention.query.weight"] = torch.zeros(32)
    with pytest.raises(ValueError, match=r"weights do not fit together \(Tensors must have same number"):
        models.build(save(tmp_path, weights))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b'{"patch_size": null}', "patch_size = None is not a whole number from 1"),
        (b'{"num_hidden_layers": 2.0}', r"num_hidden_layers = 2\.0 is not a whole number"),
        (b'{"hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 5}', "is not divisible by 5 heads"),
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
