"""The arguments of our networks besides the number of classes: `model_args` of a file, checked without torch.

A test ensures that these are the arguments of the networks' constructors, and that the default of each argument gives
the same network as leaving it out.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A kind of value."""

    words: str
    """What the value should be, as it stands in an error message after `should be`."""
    fits: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


SHARE = Kind("a share from 0 to below 1", lambda value: _is_number(value) and 0 <= value < 1)
FACTOR = Kind("a number above 0", lambda value: _is_number(value) and value > 0)
COUNT = Kind("a whole number from 1 to 65536", lambda value: type(value) is int and 1 <= value <= 2**16)

DROPOUTS = {"hidden_dropout_prob": SHARE, "attention_dropout_prob": SHARE, "projection_dropout_prob": SHARE}
ENCODER = {"hidden": COUNT, "num_layers": COUNT, "num_heads": COUNT, "patch_size": COUNT}

ARGUMENTS: dict[str, dict[str, Kind]] = {
    "ViT_B16": DROPOUTS | {"qk_scale": FACTOR} | ENCODER,
    "ViT_S0_small": DROPOUTS | {"qk_scale": FACTOR} | ENCODER,
    "ViT_S0_base": DROPOUTS | {"qk_scale": FACTOR} | ENCODER,
    "ViT_S0_small_official": {"hidden_dropout_prob": SHARE} | ENCODER,
    "ViT_S0_base_official": {"hidden_dropout_prob": SHARE} | ENCODER,
    "SmallCifarNet": {"dropout": SHARE},
    "PowerCifarNet": {"width": FACTOR, "dropout": SHARE},
    "PowerCifarNet_x0_5": {"dropout": SHARE},
    "PowerCifarNet_x1_5": {"dropout": SHARE},
    "PowerCifarNet_x2_0": {"dropout": SHARE},
    "PowerCifarNet_x2_5": {"dropout": SHARE},
}
"""Model -> its arguments; a model that is not here takes none."""

SAVED = DROPOUTS | {"qk_scale": FACTOR}
"""Arguments of a model `hf:PATH`; its sizes come from its folder."""

OURS = ("num_classes", "input_shape", "weights", "pretrained")
"""Arguments that are not allowed: the data sets them, or they would load pretrained weights."""


def why_refused(model: str, arguments: Mapping[str, Any]) -> str | None:
    """Return why a model cannot be built with these arguments; None if it can, as far as that is known without torch.

    The arguments of torchvision, timm or a user's factory are known only when it is called (`models.external`).
    """
    for name in arguments:
        if name in OURS:
            return f"{name!r} is not set here: the data sets shapes and classes, and weights start fresh; drop it"
    source, colon, _ = model.partition(":")
    if colon and source != "hf":
        return None
    known = SAVED if colon else ARGUMENTS.get(model, {})
    if arguments and not known:
        return f"{model!r} takes no arguments; drop model_args"
    for name, value in arguments.items():
        if name not in known:
            return f"{model!r} takes no {name!r}. {near(name, known)}"
        if not known[name].fits(value):
            return f"{name} = {value!r} should be {known[name].words}"
    return None


def near(word: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown argument: a similar name, or all known ones."""
    names = list(known)
    found = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"Did you mean {found[0]!r}?" if found else f"It takes {', '.join(names) or 'none'}."
