"""What an experiment file may ask for in form and still not get: every rule about how fields go together.

Refused is what torch would ignore without a word, or compute wrongly under a label that says otherwise, and what would
never take effect. A wrong type, word or range of one field is refused before, by the field itself. What a *machine*
cannot do is no error of the request: that becomes a row with status `unsupported`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.environment import BETWEEN_GPUS, as_variables
from ampbench.bench.plan.loss_scale import LossScale
from ampbench.bench.plan.model_args import as_arguments
from ampbench.bench.plan.recipe import Recipe
from ampbench.models import arguments

MOST_CELLS = 100_000
"""Of one plan: 10 s of CPU, 80 MiB, as much of plan.json, and half a million files of runs in one folder. A million
takes ten times that, and the files break first; a larger study is several experiment files, each with its folder."""


def why_refused(cell: Cell) -> str | None:
    """Say which fields of a cell do not go together, why, and what to change; None if all do."""
    return next(filter(None, (rule(cell) for rule in RULES)), None)


def why_no_recipe(recipe: Recipe, loss_scale: str, optimizer_impl: str) -> str | None:
    """Say why no training can have this recipe with this loss scale; None if it can."""
    scale = LossScale.parse(loss_scale)
    if recipe.fp32_update and recipe.weights == "fp32":
        what = "a master copy" if recipe.master_weights else f"{recipe.rounding} rounding"
        return f"fp32 weights need no {what.removeprefix('a ')}: drop it, or keep the weights in 16 bit"
    if recipe.master_weights and recipe.rounding != "nearest":
        return (
            f"an fp32 master copy loses no update, so {recipe.rounding} rounding would have nothing to save: "
            "keep one of them"
        )
    if recipe.rounding == "stochastic" and recipe.weights != "bf16":
        return "stochastic rounding is for bf16 weights; use rounding = 'kahan' or master_weights = true in fp16"
    if recipe.autocast and recipe.weights != "fp32":
        return (
            f"autocast to {recipe.compute} over {recipe.weights} weights is not mixed precision: "
            f"keep weights = 'fp32', or compute in {recipe.weights}"
        )
    if recipe.tf32 and recipe.weights != "fp32":
        return f"TF32 acts on fp32 operators only, and pure {recipe.weights} has none: drop tf32"
    if recipe.keep_fp32 and recipe.compute == "fp32":
        return "keep_fp32 has nothing to keep where all is computed in fp32: drop it, or compute in 16 bit"
    if recipe.fp8 and recipe.compute != "bf16":
        return (
            f"fp8 products of Linear layers go with bf16 everywhere else, not with {recipe.compute}: compute = 'bf16'"
        )
    if scale.mode == "none":
        return None
    if recipe.compute == "fp32":
        return "loss scaling has nothing to scale in fp32: its gradients do not underflow; drop the loss scale"
    if recipe.weights == "bf16":
        return "loss scaling is pointless in pure bf16: it has the exponent range of fp32; drop the loss scale"
    if recipe.fp32_update:
        return None
    if recipe.weights == "fp16" and scale.mode == "dynamic":
        return (
            "a dynamic loss scale needs fp32 gradients (torch: 'Attempting to unscale FP16 gradients'); "
            "use 'static:N', master_weights = true, or weights = 'fp32'"
        )
    if recipe.weights == "fp16" and optimizer_impl != "fused":
        return (
            "a loss scale on fp16 weights must be divided out in fp32, which only fused optimizers do; "
            "use optimizer_impl = 'fused', or master_weights = true"
        )
    return None


def _recipe(cell: Cell) -> str | None:
    because = why_no_recipe(cell.precision, cell.resolved_loss_scale, cell.optimizer_impl)
    return because and f"precision = '{cell.precision}', loss_scale = '{cell.resolved_loss_scale}': {because}"


def _model_args(cell: Cell) -> str | None:
    because = arguments.why_refused(cell.model, as_arguments(cell.model_args))
    return because and f"model_args: {because}"


def _gpus(cell: Cell) -> str | None:
    because = None
    if cell.gpus == 1:
        because = "sync_batchnorm has nothing to synchronise; drop it" if cell.sync_batchnorm else None
    elif not cell.drop_last:
        because = "GPUs need equal shares of every batch; drop drop_last = false"
    elif cell.precision.fp32_update:
        because = (
            f"{cell.precision} keeps fp32 copies of its 16-bit weights with gpus = 1 only; keep its weights in fp32"
        )
    return because and f"gpus = {cell.gpus}: {because}"


def _environment(cell: Cell) -> str | None:
    idle = [name for name in as_variables(cell.environment) if name.startswith(BETWEEN_GPUS)]
    if cell.gpus > 1 or not idle:
        return None
    return f"environment: {idle[0]} acts between GPUs, and gpus = 1; drop it"


def _compile(cell: Cell) -> str | None:
    because = None
    if cell.compile != "none" and not cell.drop_last:
        because = "a smaller last batch is compiled again, in a step that is timed; drop drop_last = false"
    elif cell.has_cuda_graphs and cell.accumulation > 1:
        because = "a CUDA graph overwrites the gradients of the part before; use compile = 'default'"
    return because and f"compile = '{cell.compile}': {because}"


def _milestones(cell: Cell) -> str | None:
    """A timing has no epochs, and schedules but `warmup_multistep` have no milestones."""
    if cell.schedule != "warmup_multistep" or not cell.epochs:
        return None
    late = next((milestone for milestone in cell.milestones if milestone >= cell.epochs), None)
    if late is None:
        return None
    return f"milestones: {late} is never reached in {cell.epochs} epochs, numbered from 0; drop it or train longer"


def _warmup(cell: Cell) -> str | None:
    if cell.schedule != "warmup_multistep" or not 0 < cell.epochs < cell.warmup_epochs:
        return None
    return f"warmup_epochs: {cell.warmup_epochs} do not end in {cell.epochs} epochs; shorten it or train longer"


def _accumulation(cell: Cell) -> str | None:
    if cell.accumulation <= cell.batch_size:
        return None
    return f"accumulation: {cell.batch_size} images have no {cell.accumulation} parts"


RULES: tuple[Callable[[Cell], str | None], ...] = (
    _recipe,
    _model_args,
    _gpus,
    _environment,
    _compile,
    _milestones,
    _warmup,
    _accumulation,
)
"""In the order in which they are told: of several, a message names the first."""


def why_too_many(count: int) -> str | None:
    """Say why no plan has so many cells; None if it may."""
    if count <= MOST_CELLS:
        return None
    return (
        f"{count:,} cells are more than the {MOST_CELLS:,} that one plan may hold; shorten an axis, or split it over "
        "several files"
    )


def why_twice(cells: Iterable[Cell]) -> str | None:
    """Say which cell comes twice; None if none does."""
    seen: set[str] = set()
    for cell in cells:
        if cell.cell_id in seen:
            scale = f"loss_scale={cell.resolved_loss_scale}"
            return f"{cell} {scale} comes twice once defaults are filled in; drop one of them"
        seen.add(cell.cell_id)
    return None
