"""python bench/run_one.py --model VGG19 --dtype bf16 --amp: run one cell from the flags of study S3."""

import os
import sys

# See run_matrix.py: bench/ must not stand first on the path.
if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.append(os.getcwd())
    from bench.plan.packages import require_packages

    require_packages()

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.command import run_command
from bench.plan.errors import RequestError
from bench.plan.experiment import parse_experiment
from bench.plan.matrix import make_plan

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


def main(
    model: Annotated[
        str, typer.Option(help="A model of the zoo, torchvision:NAME or package.module:factory.")
    ] = "VGG19",
    data: Annotated[str, typer.Option(help="digits, cifar10, cifar100, synthetic or folder:PATH.")] = "cifar10",
    dtype: Annotated[str, typer.Option(help="fp32, fp16 or bf16; alone, everything is kept in it.")] = "fp32",
    amp: Annotated[bool, typer.Option("--amp", help="fp32 weights, autocast to the dtype.")] = False,
    loss_scale: Annotated[
        bool, typer.Option("--loss-scale", help="Dynamic scale with --amp; on pure fp16 a static one.")
    ] = False,
    tf32: Annotated[bool, typer.Option("--tf32", help="With --dtype fp32: let products run in TF32.")] = False,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 256,
    epochs: Annotated[int, typer.Option(help="0 measures speed and memory only.")] = 200,
    lr: Annotated[float, typer.Option("--lr", help="Learning rate before the cosine schedule.")] = 0.01,
    optimizer: Annotated[str, typer.Option(help="sgd, nesterov, adam or adamw.")] = "sgd",
    augment: Annotated[str, typer.Option(help="crop, flip, crop,flip or none.")] = "crop,flip",
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    num_threads: Annotated[int, typer.Option(help="Of torch on the CPU; 0 means all cores.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", "-r", help="Keep a finished record of this very cell instead of a new run.")
    ] = False,
    gpus: Annotated[str, typer.Option(help="Index or UUID of the board.")] = "all",
    results: Annotated[
        Path | None, typer.Option(help="Folder for results; default results/ of the repository.")
    ] = None,
    wandb: Annotated[bool, typer.Option("--wandb", help="Log the run to Weights & Biases.")] = False,
    progress_bar: Annotated[
        bool, typer.Option("--progress-bar", help="Show progress every two seconds, in a log too.")
    ] = False,
) -> int:
    """Run one cell and show its numbers.

    The cell's record is that of a matrix with the same values; it lies in results/run_one/. Exit codes: 0 done
    (a failed cell is a result), 2 the request was wrong, 130 interrupted.

    Environment: AMPBENCH_CACHE=DIR keeps decoded images and downloads (else ~/.cache/ampbench), AMPBENCH_LOCKS=DIR the
    locks that all users of this machine share (else in its folder for temporary files).
    """
    fields: dict[str, Any] = {
        "model": model,
        "data": data,
        "precision": recipe(dtype, amp=amp, loss_scale=loss_scale, tf32=tf32),
        "batch_size": batch_size,
        "epochs": epochs,
        "learning_rate": lr,
        "optimizer": optimizer,
        "augment": [] if augment in ("none", "") else augment.split(","),
        "seed": seed,
        "num_threads": num_threads,
    }
    # A TOML of one cell: the same checks, the same errors, and a text that reproduces the run as a matrix.
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
    text = "\n".join([f'question = "What does {model} do in {fields["precision"]}?"', "[fixed]", *lines, ""])
    plan = make_plan(parse_experiment(Path(__file__), text))

    from rich.console import Console

    from bench.launch.sweep import Options, sweep

    console = Console()
    if fields["precision"] == "bf16_amp_scaled":
        console.print("Note: a loss scale is redundant under bf16; this must equal bf16_amp but for skipped steps.")
    options = Options(
        results=results,
        gpus=gpus,
        again=() if resume else ("ok", "oom", "diverged", "timeout", "unsupported", "crashed", "failed"),
        wandb=wandb,
        log_every_s=2.0 if progress_bar else 30.0,
    )
    return sweep(plan, plan.cells, options, console)


def recipe(dtype: str, *, amp: bool, loss_scale: bool, tf32: bool) -> str:
    """Return the recipe that study S3's flags mean.

    Raises:
        RequestError: a combination that S3 accepted and silently ran as something else.
    """
    if dtype not in ("fp32", "fp16", "bf16"):
        raise RequestError(f"--dtype {dtype}: choose fp32, fp16 or bf16")
    reason = REFUSED.get((dtype, amp, loss_scale))
    if reason:
        raise RequestError(reason)
    if tf32 and dtype != "fp32":
        raise RequestError(f"--tf32: acts on fp32 products only, and --dtype is {dtype}; drop one of them")
    return "tf32" if tf32 else RECIPES[dtype, amp, loss_scale]


if __name__ == "__main__":
    run_command(main)
