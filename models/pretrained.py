"""A pretrained ViT from a folder in Hugging Face's format: config.json beside model.safetensors or pytorch_model.bin.

In an experiment it is the model `hf:PATH`, or `hf:OWNER/NAME` for a downloaded one (models/hub.py). If the number of
classes differs from that of the data, a fresh head replaces the saved one, with a warning. Any other difference between
the folder and models/vit.py is an error. Nothing is downloaded, and no code in the folder is run: a .bin is read with
weights_only.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.models.arguments import why_refused
from ampbench.models.hub import folder_of
from ampbench.models.vit import ViT

SIZES = {
    "hidden": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "image_size": "image_size",
    "patch_size": "patch_size",
    "num_channels": "num_channels",
}
"""Argument of `ViT` -> its field in config.json."""

GIVEN: dict[str, Any] = {
    "model_type": "vit",
    "hidden_act": "gelu",
    "qkv_bias": True,
    "layer_norm_eps": 1e-12,
}
"""Values that are fixed in `ViT`: a config.json with other values describes another network."""

DROPOUTS = {
    "hidden_dropout_prob": "hidden_dropout_prob",
    "projection_dropout_prob": "hidden_dropout_prob",  # theirs also acts on the output of attention
    "attention_dropout_prob": "attention_probs_dropout_prob",
}
"""Argument of `ViT` -> its field in config.json."""

MODULES = {
    "embeddings.patches.projection": "vit.embeddings.patch_embeddings.projection",
    "norm": "vit.layernorm",
    "head": "classifier",
}
"""Our module -> theirs, each with weight and bias."""

LAYER = {
    "norm1": ("layernorm_before",),
    "qkv": ("attention.attention.query", "attention.attention.key", "attention.attention.value"),
    "out": ("attention.output.dense",),
    "norm2": ("layernorm_after",),
    "mlp.0": ("intermediate.dense",),
    "mlp.2": ("output.dense",),
}
"""Our module in a block -> theirs in a layer, each with weight and bias; ours concatenates several of theirs."""

TOKENS = {
    "embeddings.cls_token": "vit.embeddings.cls_token",
    "embeddings.positions": "vit.embeddings.position_embeddings",
}
"""Our parameter -> theirs."""


def build(name: str, num_classes: int, input_shape: tuple[int, int, int], **dropouts: Any) -> nn.Module:
    """Build `hf:PATH`; given dropouts and qk_scale replace those of config.json.

    Raises:
        ValueError: the folder does not hold a ViT, or holds one for images of another shape.
        ImportError: its weights need a package that is not installed.
    """
    folder = folder_of(name.partition(":")[2])
    model = outline(folder, num_classes, **dropouts)
    patches = model.embeddings.patches
    said = (patches.projection.in_channels, *patches.image_size)
    if said != tuple(input_shape):
        raise ValueError(f"{name!r}: the model is for images of {said}, the data {input_shape}; change image_size")
    if patches.projection.weight.is_meta:
        return model  # built for its shapes only
    return fill(model, folder)


def outline(folder: Path, num_labels: int, **dropouts: Any) -> ViT:
    """Build the network that config.json describes, with fresh weights.

    Raises:
        ValueError: there is no config.json, or it describes another network.
    """
    path = folder / "config.json"
    try:
        fields = json.loads(path.read_text())
    except OSError as e:
        raise ValueError(f"no {path}; name a folder written by save_pretrained") from e
    except (ValueError, RecursionError) as e:
        raise ValueError(f"{path}: is not JSON ({e}); write it again with save_pretrained") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: is not a JSON object; write it again with save_pretrained")
    for field in SIZES.values():
        value = fields.get(field, 1)
        if type(value) is not int or value < 1:
            raise ValueError(
                f"{path}: {field} = {value!r} is not a whole number from 1; write it again with save_pretrained"
            )
    fourfold = {"intermediate_size": 4 * fields.get("hidden_size", 768)}
    for field, given in (GIVEN | fourfold).items():
        if fields.get(field, given) != given:
            raise ValueError(
                f"{path}: {field} = {fields[field]!r}, models/vit.py has {given!r}; "
                "write a factory for it (models/external.py)"
            )
    sizes = {ours: fields[theirs] for ours, theirs in SIZES.items() if theirs in fields}
    hidden, num_heads = sizes.get("hidden", 768), sizes.get("num_heads", 12)
    if hidden % num_heads:
        raise ValueError(f"{path}: hidden_size = {hidden} is not divisible by {num_heads} heads; correct the file")
    said = {ours: fields[theirs] for ours, theirs in DROPOUTS.items() if theirs in fields}
    if reason := why_refused("hf:", said):
        raise ValueError(f"{path}: {reason}; correct the file")
    return ViT(num_labels, **sizes, **said | dropouts)


def fill(model: ViT, folder: Path) -> ViT:
    """Load the folder's weights, except a head of another size, and return the model.

    Raises:
        ValueError: weights are missing, unexpected or of another shape.
        ImportError: see `read_weights`.
    """
    weights = translated(read_weights(folder), len(model.blocks), folder)
    ours = model.state_dict()
    held = len(weights["head.bias"])
    head = {name: tensor for name, tensor in ours.items() if name.startswith("head.")}
    if not head or len(head["head.bias"]) != held:
        fresh = f"a fresh one of {len(head['head.bias'])}" if head else "none"
        model.note = f"{folder}: the head of {held} classes is replaced by {fresh}"
        warnings.warn(model.note, stacklevel=2)
        del weights["head.weight"], weights["head.bias"]
        weights |= head
    for name, tensor in weights.items():
        if tensor.shape != ours[name].shape:
            raise ValueError(
                f"{folder}: {name} is {tuple(tensor.shape)}, by config.json {tuple(ours[name].shape)}; "
                "weights and config.json are of different models: save both again with save_pretrained"
            )
    model.load_state_dict(weights)
    return model


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read model.safetensors or else pytorch_model.bin.

    Raises:
        ValueError: neither is there, it cannot be read, or it holds something other than floating-point tensors.
        ImportError: model.safetensors is there, but the package safetensors is not installed.
    """
    path = folder / "model.safetensors"
    if path.is_file():
        try:
            safetensors = importlib.import_module("safetensors.torch")
        except ImportError as e:
            raise ImportError(f"{path} needs the package safetensors; pip install safetensors") from e
        return _checked(path, safetensors.load_file)
    path = folder / "pytorch_model.bin"
    if path.is_file():
        return _checked(path, partial(torch.load, map_location="cpu", weights_only=True))
    raise ValueError(f"{folder} holds no model.safetensors and no pytorch_model.bin; copy one beside config.json")


def _checked(path: Path, load: Callable[[Path], Any]) -> dict[str, Tensor]:
    try:
        weights = load(path)
    except (
        Exception
    ) as e:  # each format raises its own: RuntimeError, KeyError, EOFError, UnpicklingError, SafetensorError
        what = type(e).__name__
        raise ValueError(f"{path}: is truncated or not a file of weights only ({what}); copy or save it again") from e
    tensors = weights.values() if isinstance(weights, dict) else [None]
    if not all(isinstance(tensor, Tensor) and tensor.is_floating_point() for tensor in tensors):
        raise ValueError(f"{path}: holds something other than floating-point weights; save it again")
    return weights


def translated(theirs: dict[str, Tensor], num_layers: int, folder: Path) -> dict[str, Tensor]:
    """Return weights under our names.

    Raises:
        ValueError: weights are missing or unexpected.
    """
    sources = sources_of(num_layers)
    expected = {name for names in sources.values() for name in names}
    missing, unexpected = expected - theirs.keys(), theirs.keys() - expected
    if missing or unexpected:
        raise ValueError(
            f"{folder}: weights missing: {listed(missing)}; unexpected: {listed(unexpected)}; "
            "save it again from transformers' ViTForImageClassification with save_pretrained"
        )
    try:
        return {ours: torch.cat([theirs[name] for name in names]) for ours, names in sources.items()}
    except RuntimeError as e:
        raise ValueError(f"{folder}: weights do not fit together ({e}); save both files again") from None


def sources_of(num_layers: int) -> dict[str, tuple[str, ...]]:
    """Return our name -> their names, for every weight."""
    modules: dict[str, tuple[str, ...]] = {ours: (name,) for ours, name in MODULES.items()}
    for n in range(num_layers):
        for ours, names in LAYER.items():
            modules[f"blocks.{n}.{ours}"] = tuple(f"vit.encoder.layer.{n}.{name}" for name in names)
    return {ours: (name,) for ours, name in TOKENS.items()} | {
        f"{ours}.{kind}": tuple(f"{name}.{kind}" for name in names)
        for ours, names in modules.items()
        for kind in ("weight", "bias")
    }


def listed(names: set[str]) -> str:
    """Return the first three names and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (", ".join(sorted(names)[:3]) or "none") + more
