"""What torch does not compute in 16 bits: recognised by its errors, and said in words that name the next move.

Not every operator has a kernel for every dtype (linear algebra and Fourier transforms have few in 16 bits), and a model
that makes fp32 numbers itself cannot mix them with 16-bit weights. Neither is an error of the model's where it
computes in fp32.
"""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path

import torch

from ampbench import models
from ampbench.bench.plan.recipe import Recipe

SIXTEEN_BITS = re.compile(r"\b(c10::)?(BFloat16|ComplexHalf|Half|Float8\w*|bfloat16|float16|half)\b|BFloat16|half\b")
LACKING = re.compile(
    r"not implemented|not support|only support|[Uu]nsupported|precision dtypes|of float, double|Expected both"
)
DOUBLE_ONLY = re.compile(r"either float or double|could not create a primitive")
MIXED = re.compile(
    r"same dtype|same type|should be the same|expected scalar type|dtype mismatch|can't be cast|mixed dtype \(CPU\)"
)
MIXED_WITH_FP32 = re.compile(r"mixed dtype \(CPU\): expect parameter to have scalar type of Float")
"""Of a norm on a CPU; it names the dtype that it expects of the weights, and not the 16 bits that they have."""
PLACES = [Path(torch.__file__).parent, Path(__file__).parents[2], Path(models.__file__).parent]
OURS = tuple(f"{place}{os.sep}" for folder in PLACES for place in (folder, folder.resolve()))
STANDARD = f"{Path(os.__file__).parent}{os.sep}"
"""Whose files no model stands in: torch and the harness, and Python's own library."""
OPERATOR = re.compile(r"^\"(\w+)\"|, \"(\w+)\" not|^((?:linalg|fft)[\w.]*|\w+(?=\(\)))")
"""The operator, in the forms in which a message may name it."""


def why_not_in_16_bits(error: BaseException, recipe: Recipe, device: torch.device) -> str | None:
    """Return in a line what cannot be computed in a recipe's 16 bits, or None if the error is another."""
    dtypes = [dtype for dtype in (recipe.weights, recipe.compute) if dtype != "fp32"]
    if not dtypes or not isinstance(error, RuntimeError | TypeError):
        return None
    words = (str(error).strip().splitlines() or [""])[0]
    named = SIXTEEN_BITS.search(words)
    kind = isinstance(error, NotImplementedError) or LACKING.search(words)
    if DOUBLE_ONLY.search(words) or (named and kind):
        operator, line = _operator(words), own_line(error)
        what = f"torch's operator {operator}" if operator else f"what stands in {line}" if line else "an operator"
        return (
            f"{what} does not compute in {dtypes[0]} on {device.type} ({words}); compute it in fp32 inside "
            f"torch.autocast('{device.type}', enabled=False), or use another recipe"
        )
    if recipe.weights != "fp32" and ((named and MIXED.search(words)) or MIXED_WITH_FP32.search(words)):
        line = own_line(error)
        return (
            f"the model mixes numbers of its own with weights of {recipe.weights}{f', in {line}' if line else ''} "
            f"({words}); cast them to the weights' dtype there (a layer in a plain list is none of the model's: "
            "nn.ModuleList), or use a recipe that keeps weights in fp32"
        )
    return None


def _operator(words: str) -> str | None:
    found = OPERATOR.search(words)
    return next(filter(None, found.groups()), None) if found else None


def _is_own(file: str) -> bool:
    if file.startswith((*OURS, "<")):
        return False
    return not file.startswith(STANDARD) or "site-packages" in file


def own_line(error: BaseException) -> str | None:
    """Return file and line of the last frame that is not torch's, Python's or the harness's: a model's own."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if _is_own(f.filename)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else None


def raised_at(error: BaseException) -> str | None:
    """Return the same of an error that a model raised, or torch in it; None of one that the harness raised itself."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = tuple(f"{place}{os.sep}" for place in PLACES[1:])
    return None if not frames or frames[-1].filename.startswith(ours) else own_line(error)
