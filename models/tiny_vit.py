"""python -m models.tiny_vit ~/tiny-vit: write a small ViT in Hugging Face's format, for trials.

The folder has the format that `save_pretrained` of transformers' ViTForImageClassification writes: config.json beside
model.safetensors. An experiment reads it as `hf:~/tiny-vit`. Its weights are random, not trained. The package
transformers is not needed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from ampbench.models.pretrained import SIZES, sources_of
from ampbench.models.vit import ViT

NUM_LABELS = 1000
"""As in a network pretrained on ImageNet, so that the head is replaced by one for the data's classes."""


def tiny_vit() -> ViT:
    """Return a ViT of 2 layers and 32 features over 32x32 pixels in patches of 8; always the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ViT(NUM_LABELS, hidden=32, num_layers=2, num_heads=4, image_size=32, patch_size=8)


def save(model: ViT, folder: Path) -> None:
    """Write a model of ours under Hugging Face's names: the inverse of `models.pretrained.build`.

    Raises:
        ImportError: the package safetensors is not installed.
        OSError: the folder cannot be written.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as e:
        raise ImportError("model.safetensors needs the package safetensors; pip install safetensors") from e
    folder.mkdir(parents=True, exist_ok=True)
    patches = model.embeddings.patches
    num_labels, hidden = model.head.weight.shape
    sizes = {
        "hidden": hidden,
        "num_layers": len(model.blocks),
        "num_heads": model.blocks[0].num_heads,
        "image_size": patches.image_size[0],
        "patch_size": patches.patch_size[0],
        "num_channels": patches.projection.in_channels,
    }
    fields = {SIZES[ours]: size for ours, size in sizes.items()}
    fields |= {"intermediate_size": 4 * hidden, "num_labels": num_labels}
    save_file(_theirs(model), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(
        json.dumps({"model_type": "vit"} | fields, indent=2)
    )  # last: then the folder is complete


def _theirs(model: ViT) -> dict[str, Tensor]:
    weights = model.state_dict()
    return {
        name: part.contiguous()
        for ours, names in sources_of(len(model.blocks)).items()
        for name, part in zip(names, weights[ours].chunk(len(names)), strict=True)
    }


def main(arguments: list[str]) -> int:
    """Write the folder; exit code 0, or 2 with one line on stderr."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m models.tiny_vit FOLDER, as in ~/tiny-vit", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).expanduser()
    try:
        save(tiny_vit(), folder)
    except (OSError, ImportError) as e:
        print(f"{folder}: {e}", file=sys.stderr)
        return 2
    print(f"A small ViT is in {folder}; an experiment reads it as hf:{arguments[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
