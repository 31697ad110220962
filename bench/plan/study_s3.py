"""Study S3's command line: its defaults, and the four flags by which it named a precision.

S3 took every combination of them and ran some as another recipe than they say; those are refused with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ampbench.bench.plan.errors import RequestError

STUDY_S3 = {"model": "VGG19", "data": "cifar10", "batch_size": "256", "epochs": "200"}
"""The defaults of study S3."""

# dtype, --amp, --loss-scale -> recipe
RECIPES = {
    ("fp32", False, False): "fp32",
    ("fp16", False, False): "fp16",
    ("fp16", False, True): "fp16_scaled",
    ("fp16", True, False): "fp16_amp",
    ("fp16", True, True): "fp16_amp_scaled",
    ("bf16", False, False): "bf16",
    ("bf16", True, False): "bf16_amp",
    ("bf16", True, True): "bf16_amp_scaled",
}

REFUSED = {
    ("fp32", False, True): "--loss-scale: fp32 has nothing to scale, its gradients do not underflow; drop it",
    ("fp32", True, True): "--loss-scale: fp32 has nothing to scale, and --amp to fp32 does nothing; drop both",
    ("fp32", True, False): "--amp: autocast to fp32 does nothing; choose --dtype fp16 or bf16, or drop --amp",
    ("bf16", False, True): "--loss-scale: bf16 has fp32's exponent range, so nothing underflows; drop it",
}


def named(own: Mapping[str, Any]) -> str:
    """Return the name of the requested recipe, given by name or by the flags of study S3.

    Raises:
        RequestError: it is named twice, or by a combination that is refused.
    """
    given = [word for word, name in S3_WORDS.items() if own[name] not in (False, None, "fp32")]
    if own["precision"] and given:
        raise RequestError(f"--precision {own['precision']} and {given[0]}: both name a recipe; drop one of them")
    said = {"amp": own["amp"], "loss_scale": own["loss_scale_s3"], "tf32": own["tf32"]}
    return own["precision"] or recipe(own["dtype"] or "fp32", **said)


def is_named(own: Mapping[str, Any]) -> bool:
    """Whether any flag names a recipe."""
    return bool(own["precision"]) or any(own[name] not in (False, None) for name in S3_WORDS.values())


S3_WORDS = {"--dtype": "dtype", "--amp": "amp", "--loss-scale": "loss_scale_s3", "--tf32": "tf32"}


def recipe(dtype: str, *, amp: bool, loss_scale: bool, tf32: bool) -> str:
    """Return the name of the recipe for the flags of study S3.

    Raises:
        RequestError: a combination that S3 accepted but silently ran as another recipe.
    """
    if dtype not in ("fp32", "fp16", "bf16"):
        raise RequestError(f"--dtype {dtype}: choose fp32, fp16 or bf16")
    reason = REFUSED.get((dtype, amp, loss_scale))
    if reason:
        raise RequestError(reason)
    if tf32 and dtype != "fp32":
        raise RequestError(
            f"--tf32: acts only on matrix products and convolutions in fp32, and --dtype is {dtype}; drop one of them"
        )
    return "tf32" if tf32 else RECIPES[dtype, amp, loss_scale]
