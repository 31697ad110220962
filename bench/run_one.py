"""python bench/run_one.py --model VGG19 --dtype bf16 --amp: run one cell, with the flags of study S3."""

import os
import sys

# See run_matrix.py: bench/ must not stand first on the path.
if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    from ampbench.path import step_aside

    step_aside()
    from ampbench.bench.plan.packages import require_packages

    require_packages()

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ampbench.bench.command import field_parameters, run_command
from ampbench.bench.plan.data_place import use_data_dir
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.flags import file_of, in_words_typed
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.sinks.sink import SINKS

STATUSES = ("ok", "oom", "diverged", "timeout", "unsupported", "throttled", "crashed", "failed")

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


QUESTION = "How do the cells compare that were each run from flags of its own?"

STUDY_S3 = {"model": "VGG19", "data": "cifar10", "batch_size": "256", "epochs": "200"}
"""The defaults of study S3."""

RUN_AGAIN = tuple(status for status in STATUSES if status != "excluded")


def main(**typed: Any) -> int:
    """Run one cell and show its numbers.

    Every field of a cell, of [measure] and of [budget] has a flag. The record is the same as that of a matrix with the
    same values. It is added to the records of all earlier cells in results/run_one/, with one table, of which
    `python -m ampbench report` draws a report; the rules of a matrix about machines and versions apply. Exit codes:
    0 done (a failed cell is a result), 2 the request was wrong, 130 interrupted.

    A training that was killed continues from its last checkpoint with the same command, without a flag. A finished
    cell is run again and its record replaced, unless --resume keeps it. More epochs make another cell, which starts
    anew, because the schedule of the shorter training has ended.

    Environment: AMPBENCH_CACHE=DIR is the folder for decoded images and downloads (default ~/.cache/ampbench),
    AMPBENCH_LOCKS=DIR that for the locks that all users of this machine share (default: a folder for temporary files).
    """
    own = {name: typed.pop(name) for name in OWN}
    use_data_dir(own["data_dir"])
    if own["summary"] and not own["plan"]:
        raise RequestError("--summary belongs to --plan: add it, or drop both; a run records num_parameters")
    precision = named(own)
    text = file_of(QUESTION, STUDY_S3 | {name: value for name, value in typed.items() if value is not None}, precision)
    try:
        plan = make_plan(parse_experiment(Path(__file__), text))
    except RequestError as e:
        raise RequestError(in_words_typed(str(e))) from None
    if own["plan"]:
        from ampbench.bench.launch.preview import dry_run

        sys.stdout.write("\n".join(dry_run(plan, plan.cells, own["results"], summary=own["summary"])) + "\n")
        return 0

    from rich.console import Console

    from ampbench.bench.launch.local import Local
    from ampbench.bench.launch.progress import PLAIN
    from ampbench.bench.launch.sweep import Options, sweep
    from ampbench.bench.store.folder import Folder
    from ampbench.bench.store.join import joined_rows
    from ampbench.bench.store.own_result import how_to_compare, lines_of_result

    console = Console()
    if precision == "bf16_amp_scaled":
        console.print(
            "Note: bf16 needs no loss scale; the result should equal that of bf16_amp, except for skipped steps."
        )
    options = Options(
        results=own["results"],
        launcher=Local(gpus=own["gpus_chosen"], allow_shared=own["allow_shared"]),
        again=() if own["resume"] else RUN_AGAIN,
        mixed=own["mixed"],
        sinks=[name for name in SINKS if own[name]],
        log_every_s=2.0 if own["progress_bar"] else 30.0,
        accumulate=True,
    )
    code = sweep(plan, plan.cells, options, console)
    if code == 0:
        folder = Folder.of(plan, own["results"])
        for cell in plan.cells:
            lines = lines_of_result(folder.run_path(cell))
            console.print(
                "\n".join(
                    ["", f"{cell}:", *lines, how_to_compare(folder.path, cell.model, joined_rows(folder, ["model"]))]
                ),
                **PLAIN,
            )
    return code


OWN: dict[str, tuple[Any, Any, Any]] = {
    "precision": (
        str | None,
        None,
        typer.Option("--precision", help="The name of a recipe, instead of the next four flags."),
    ),
    "dtype": (str, "fp32", typer.Option("--dtype", help="fp32, fp16 or bf16; without --amp, weights have it too.")),
    "amp": (bool, False, typer.Option("--amp", help="fp32 weights, with autocast to the dtype.")),
    "loss_scale_s3": (
        bool,
        False,
        typer.Option("--loss-scale", help="A dynamic loss scale with --amp, a static one for pure fp16."),
    ),
    "tf32": (
        bool,
        False,
        typer.Option("--tf32", help="With --dtype fp32: compute matrix products and convolutions in TF32."),
    ),
    "resume": (bool, False, typer.Option("--resume", "-r", help="Keep the record of this cell if it is finished.")),
    "plan": (bool, False, typer.Option("--plan", help="Print what would run, and run nothing.")),
    "summary": (
        bool,
        False,
        typer.Option("--summary", help="With --plan: show the network layer by layer, with its parameters."),
    ),
    "gpus_chosen": (str, "all", typer.Option("--gpus", help="Indices or UUIDs of the boards.")),
    "results": (
        Path | None,
        None,
        typer.Option("--results", "--out-dir", help="Folder for results; by default results/ of the repository."),
    ),
    "data_dir": (
        Path | None,
        None,
        typer.Option("--data-dir", help="Folder of CIFAR's archive; a missing archive is downloaded to it."),
    ),
    "mixed": (bool, False, typer.Option("--mixed", help="Join rows of different machines or versions.")),
    "allow_shared": (
        bool,
        False,
        typer.Option("--allow-shared", help="Measure on a GPU even if other processes use it."),
    ),
    **{name: (bool, False, typer.Option(f"--{name}", help=sink.help)) for name, sink in SINKS.items()},
    "progress_bar": (
        bool,
        False,
        typer.Option("--progress-bar", help="Show progress every two seconds, also in a log file."),
    ),
}
"""Parameter -> its type, its default and its flag, for parameters that are not fields."""


def parameters() -> Iterator[inspect.Parameter]:
    """Yield the parameters of the command: first all fields, then those of `OWN`, with the flags of study S3."""
    yield from field_parameters(defaults=STUDY_S3)
    for name, (kind, default, option) in OWN.items():
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
        )


def named(own: Mapping[str, Any]) -> str:
    """Return the name of the requested recipe, given by name or by the flags of study S3."""
    given = [word for word, name in S3_WORDS.items() if own[name] not in (False, "fp32")]
    if own["precision"] and given:
        raise RequestError(f"--precision {own['precision']} and {given[0]}: both name a recipe; drop one of them")
    said = {"amp": own["amp"], "loss_scale": own["loss_scale_s3"], "tf32": own["tf32"]}
    return own["precision"] or recipe(own["dtype"], **said)


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


main.__signature__ = inspect.Signature(list(parameters()), return_annotation=int)  # type: ignore[attr-defined]
main.__annotations__ = {p.name: p.annotation for p in parameters()}

if __name__ == "__main__":
    run_command(main)
