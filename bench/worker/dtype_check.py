"""That a cell computes in the dtype of its label: steps taken off the clock, under the eyes of `measure.dtypes`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from ampbench.bench.machine.provenance import refused_switch
from ampbench.bench.measure.dtypes import DtypeCheck, errors_contradict, fp32_errors
from ampbench.bench.measure.kernels import kernel_dtypes, kernels_contradict
from ampbench.bench.plan.recipe import Recipe
from ampbench.bench.train.precision import DTYPES
from ampbench.bench.train.settings import read_settings, restore_settings
from ampbench.bench.train.statuses import Unsupported
from ampbench.bench.train.step import Step
from ampbench.bench.train.training import Training
from ampbench.bench.worker.log import say
from ampbench.bench.worker.single_image import refused_single_images

MOST_KERNELS = 8
"""Kernels that a record names; a net has more, in few dtypes."""


def check_fp32_products(training: Training, row: dict[str, Any]) -> None:
    """Measure the error of fp32 products under the switches of a recipe that computes in fp32, before any clock runs.

    Raises:
        RuntimeError: they are not what the recipe says.
        Unsupported: the model, or what it imports, has set an environment variable under which they would not be.
    """
    if training.model_changed:
        say(f"the model, or what it imports, had set and we set back: {training.model_changed}")
    refused = refused_switch(os.environ)
    if refused:
        raise Unsupported(refused)
    recipe = training.cell.precision
    if recipe.compute != "fp32":
        return
    errors = fp32_errors(training.device)
    row["fp32_errors"] = " ".join(f"{name}:{error:.1e}" for name, error in errors.items())
    _refuse(errors_contradict(errors, tf32=recipe.tf32))


def check_first_step(training: Training, steps: Iterator[Step], row: dict[str, Any]) -> Step:
    """Take a training's next step, look at the dtypes of its products, and write what was seen into `row`.

    Raises:
        RuntimeError: products ran in another dtype than the recipe says.
        ValueError: the step brought a weight that no optimizer updates, or a later batch of one image could not be
            trained on.
    """
    own = read_settings()
    with DtypeCheck(training.model) as proof, refused_single_images(training):
        step = next(steps)
    row["dtype_check"] = str(proof)
    changed = [f"in its first step {what}" for what in restore_settings(own)]
    row["model_changed"] = "; ".join(filter(None, [training.model_changed, *changed])) or None
    _refuse_late_weights(training)
    recipe = training.cell.precision
    _refuse(proof.contradicts(DTYPES[recipe.compute], fp8=recipe.fp8))
    return step


def _refuse_late_weights(training: Training) -> None:
    for name, weight in training.model.named_parameters():
        if weight.requires_grad and training.weights.get(name) is not weight:
            raise ValueError(
                f"{training.cell.model}: its first step made the weight {name!r}, or let it train, after the optimizer "
                "was given the weights, so it would never be updated: make it in __init__, or use nn.LazyLinear and "
                "its like, which are given their shapes before"
            )


def check_kernels(recipe: Recipe, kernels: Iterable[str], row: dict[str, Any]) -> None:
    """Look at the names of the CUDA kernels of a step, and write those that multiplied into `row`.

    Raises:
        RuntimeError: a kernel ran in another dtype than the recipe says.
    """
    dtypes = kernel_dtypes(kernels)
    one_of_each = {dtype: name for name, dtype in dtypes.items()}.values()
    named = list(dict.fromkeys([*one_of_each, *dtypes]))[:MOST_KERNELS]
    row["kernels"] = "; ".join(f"{_without_parameters(name)}:{dtypes[name]}" for name in named)
    _refuse(kernels_contradict(dtypes, "tf32" if recipe.tf32 else recipe.compute, fp8=recipe.fp8))


def _without_parameters(kernel: str) -> str:
    """Return a C++ name without `void` and without the parameters behind it, but with its template arguments.

    Parentheses before them belong to the name, as in `at::native::(anonymous namespace)::im2col_kernel<(int)2>(long)`.
    """
    name, depth = kernel.removeprefix("void "), 0
    if not name.endswith(")"):
        return name
    for i in range(len(name) - 1, -1, -1):
        depth += (name[i] == ")") - (name[i] == "(")
        if depth == 0:
            return name[:i] or name
    return name


def _refuse(contradiction: str | None) -> None:
    if contradiction:
        raise RuntimeError(f"dtype check: {contradiction}")
