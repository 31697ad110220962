"""Check that a cell computes in the dtype of its recipe: steps off the clock, observed by `measure.dtypes`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ampbench.bench.machine.provenance import refused_switch
from ampbench.bench.measure.dtypes import DtypeCheck, errors_contradict, fp32_errors
from ampbench.bench.measure.kernels import kernel_dtypes, kernels_contradict
from ampbench.bench.plan.recipe import Recipe
from ampbench.bench.train.precision.islands import islands_of
from ampbench.bench.train.precision.precision import DTYPES
from ampbench.bench.train.settings import read_settings, restore_settings
from ampbench.bench.train.statuses import Unsupported
from ampbench.bench.train.step import Step
from ampbench.bench.train.training import Training
from ampbench.bench.worker.log import say
from ampbench.bench.worker.single_image import refused_single_images
from ampbench.schema.precision import DtypesSeen

MOST_KERNELS = 8
"""Most kernels that a record names; a network has more, in few dtypes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstStep:
    """The first step of a process, and the dtypes in which it multiplied."""

    step: Step
    dtypes: DtypesSeen
    contradiction: str | None
    """How the dtypes contradict the recipe; None if they do not."""

    def refuse(self) -> None:
        """Refuse to go on in another dtype than the recipe says.

        Raises:
            RuntimeError: the dtypes contradict the recipe.
        """
        refuse(self.contradiction)


def refuse(contradiction: str | None) -> None:
    """Raise RuntimeError where dtypes contradict the recipe."""
    if contradiction:
        raise RuntimeError(f"dtype check: {contradiction}")


def fp32_errors_of(training: Training) -> dict[str, float]:
    """Measure the errors of fp32 matrix products and convolutions, before any timing, under a recipe's switches.

    Empty for a recipe that computes all in 16 bit; `refuse_fp32_errors` judges them.

    Raises:
        Unsupported: the model, or what it imports, has set an environment variable that changes them.
    """
    if training.model_changed:
        say(f"the model, or what it imports, had set and we set back: {training.model_changed}")
    refused = refused_switch(os.environ)
    if refused:
        raise Unsupported(refused)
    recipe = training.cell.precision
    return fp32_errors(training.device) if recipe.compute == "fp32" or recipe.keep_fp32 else {}


def refuse_fp32_errors(errors: Mapping[str, float], recipe: Recipe) -> None:
    """Raise RuntimeError where matrix products or convolutions in fp32 are not as the recipe says: IEEE, or TF32."""
    if errors:
        refuse(errors_contradict(errors, tf32=recipe.tf32))


def check_first_step(training: Training, steps: Iterator[Step], seen: DtypesSeen) -> FirstStep:
    """Take a training's next step, and check the dtypes of its matrix products and convolutions.

    Args:
        training: takes the step.
        steps: the steps of the training.
        seen: what is known of its dtypes already.

    Raises:
        ValueError: the step made a weight that no optimizer updates, or a later batch of one image could not be
            trained on.
    """
    own = read_settings()
    with DtypeCheck(training.model, islands_of(training.model)) as check, refused_single_images(training):
        step = next(steps)
    changed = [f"in its first step {what}" for what in restore_settings(own)]
    said = "; ".join(filter(None, [training.model_changed, *changed])) or None
    recipe = training.cell.precision
    return FirstStep(
        step=step,
        dtypes=replace(seen, dtype_check=str(check), model_changed=said),
        contradiction=check.contradicts(DTYPES[recipe.compute], fp8=recipe.fp8),
    )


def refuse_late_weights(training: Training) -> None:
    """Raise ValueError if the first step made a weight that no optimizer updates."""
    for name, weight in training.model.named_parameters():
        if weight.requires_grad and training.weights.get(name) is not weight:
            raise ValueError(
                f"{training.cell.model}: its first step made the weight {name!r}, or let it train, after the optimizer "
                "was given the weights, so it would never be updated: make it in __init__, or use nn.LazyLinear and "
                "its like, which are given their shapes before"
            )


def kernels_seen(kernels: Iterable[str]) -> str:
    """Return the CUDA kernels of a step that multiply, as `name:dtype; name:dtype`, one of each dtype first."""
    dtypes = kernel_dtypes(kernels)
    one_of_each = {dtype: name for name, dtype in dtypes.items()}.values()
    named = list(dict.fromkeys([*one_of_each, *dtypes]))[:MOST_KERNELS]
    return "; ".join(f"{_without_parameters(name)}:{dtypes[name]}" for name in named)


def refuse_kernels(recipe: Recipe, kernels: Iterable[str]) -> None:
    """Raise RuntimeError where a CUDA kernel of a step ran in another dtype than the recipe says."""
    refuse(kernels_contradict(kernel_dtypes(kernels), "tf32" if recipe.tf32 else recipe.compute, fp8=recipe.fp8))


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
