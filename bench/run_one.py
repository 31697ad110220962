"""python bench/run_one.py --model VGG19 --dtype bf16 --amp: run one cell, with the flags of study S3."""

import os
import sys

# See run_matrix.py: bench/ must not stand first on the path.
if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    from ampbench.interruption import end_quietly

    end_quietly()
    from ampbench.path import step_aside

    step_aside()
    from ampbench.bench.plan.packages import require_packages

    require_packages()

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ampbench.bench.auto.one_training import OneTraining, chosen_training, wanted_rules, with_chosen
from ampbench.bench.command import field_parameters, own_parameters, run_command
from ampbench.bench.launch.choose import launcher_of, lines_of_jobs, refuse_flags, refuse_trials
from ampbench.bench.machine.hardware import find_hardware
from ampbench.bench.options import (
    ALLOW_SHARED,
    DATA_DIR,
    EXCLUSIVE,
    GPUS,
    LAUNCHER,
    MIXED,
    PLAN,
    PROJECT,
    RAY_ADDRESS,
    RESULTS,
    SLURM,
    SUMMARY,
    below,
    heard,
    run,
)
from ampbench.bench.plan.data_place import use_data_dir
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.flags import file_of, in_words_typed
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.study_s3 import STUDY_S3, is_named, named
from ampbench.bench.sinks.sink import SINKS, project_of

STATUSES = ("ok", "oom", "diverged", "timeout", "unsupported", "throttled", "crashed", "failed")

QUESTION = "How do the cells compare that were each run from flags of its own?"

RUN_AGAIN = tuple(status for status in STATUSES if status != "excluded")


def main(**typed: Any) -> int:
    """Run one cell and show its numbers; without any value given, one that is chosen for this machine (study S4).

    With --auto, all that was not given is chosen by rules from the hardware: network, batch size, learning rate,
    precision, workers. It is announced first, with reasons. Without it, what was not given has the default in brackets,
    and a flag that says auto, as in --batch-size auto, is chosen alone.

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
    listening = [name for name in SINKS if own[name]]
    project = project_of(own["project"], listening)
    refuse_flags(own["launcher"], gpus=own["gpus_chosen"], ray_address=own["ray_address"], slurm=own["slurm"])
    training = settings_of({name: value for name, value in typed.items() if value is not None}, own)
    precision = training.precision
    text = file_of(QUESTION, training.typed, precision)
    try:
        plan = make_plan(parse_experiment(Path(__file__), text))
    except RequestError as e:
        raise RequestError(in_words_typed(str(e))) from None
    if plan.experiment.protocol.is_adaptive:
        raise RequestError(
            "--rounds adaptive: one cell has nothing to be compared with, so nothing would be decided; give a number, "
            "or use it in an experiment file"
        )
    if own["plan"]:
        from ampbench.bench.launch.shown.preview import dry_run

        sys.stdout.write("".join(f"{line}\n" for line in (*training.lines, *[""] * bool(training.lines))))
        own_gpus = own["gpus_chosen"] if own["launcher"] == "local" else None
        shown = {"exclusive": own["exclusive"], "again": () if own["resume"] else RUN_AGAIN}
        lines = [*dry_run(plan, plan.cells, own["results"], gpus=own_gpus, summary=own["summary"], **shown)]
        lines += lines_of_jobs(own["launcher"], plan, plan.cells, own["results"], slurm=own["slurm"], **shown)
        sys.stdout.write("\n".join(lines) + "\n")
        return 0

    from rich.console import Console

    from ampbench.bench.launch.options import Options
    from ampbench.bench.launch.shown.progress import PLAIN
    from ampbench.bench.launch.sweep import sweep
    from ampbench.bench.store.choices import write_choices
    from ampbench.bench.store.disk import saying_unwritable
    from ampbench.bench.store.folder import Folder
    from ampbench.bench.store.join import joined_rows
    from ampbench.bench.store.own_result import how_to_compare, lines_of_result

    console = Console()
    for line in training.lines:
        console.print(line, **PLAIN)
    folder = Folder.of(plan, own["results"])
    if training.choices:
        subject = plan.cells[0].run_folder
        with saying_unwritable(folder.path):
            write_choices(folder.path, [dataclasses.replace(one, subject=subject) for one in training.choices])
    if precision == "bf16_amp_scaled":
        console.print(
            "Note: bf16 needs no loss scale; the result should equal that of bf16_amp, except for skipped steps."
        )
    options = Options(
        results=own["results"],
        launcher=launcher_of(
            own["launcher"],
            gpus=own["gpus_chosen"],
            allow_shared=own["allow_shared"],
            exclusive=own["exclusive"],
            mixed=own["mixed"],
            ray_address=own["ray_address"],
            slurm=own["slurm"],
        ),
        again=() if own["resume"] else RUN_AGAIN,
        mixed=own["mixed"],
        sinks=listening,
        project=project,
        log_every_s=2.0 if own["progress_bar"] else 30.0,
        accumulate=True,
    )
    code = sweep(plan, plan.cells, options, console)
    if code == 0:
        for cell in plan.cells:
            lines = lines_of_result(folder.run_path(cell))
            console.print(
                "\n".join(
                    ["", f"{cell}:", *lines, how_to_compare(folder.path, cell.model, joined_rows(folder, ["model"]))]
                ),
                **PLAIN,
            )
    return code


def settings_of(typed: Mapping[str, Any], own: Mapping[str, Any]) -> OneTraining:
    """Return what was typed, with study S3's defaults or with values chosen for this machine.

    Args:
        typed: field -> what was typed, only of the flags that were.
        own: the parameters of `OWN`.

    Raises:
        RequestError: a recipe is named twice, or no rule chooses a value.
    """
    recipe = named(own)
    is_auto = own["auto"] if own["auto"] is not None else not (typed or is_named(own))
    if not is_auto and not wanted_rules({**typed, "precision": recipe}):
        return OneTraining(typed={**STUDY_S3, **typed}, precision=recipe, choices=(), lines=())
    refuse_trials(own["launcher"], ["what --auto and auto choose"])
    hardware = find_hardware(os.environ, gpus=own["gpus_chosen"])
    if is_auto:
        return chosen_training(hardware, typed, recipe if is_named(own) else None)
    return with_chosen(hardware, {**STUDY_S3, **typed}, recipe)


of_recipe = below("Precision")
"""A flag by which study S3 names a recipe."""

RECIPE: dict[str, tuple[Any, Any, Any]] = {
    "precision": (
        str | None,
        None,
        of_recipe("--precision", help="The name of a recipe, instead of the next four flags."),
    ),
    "dtype": (
        str | None,
        None,
        of_recipe("--dtype", help="fp32, fp16 or bf16; without --amp, weights have it too. [fp32]"),
    ),
    "amp": (bool, False, of_recipe("--amp", help="fp32 weights, with autocast to the dtype.")),
    "loss_scale_s3": (
        bool,
        False,
        of_recipe("--loss-scale", help="A dynamic loss scale with --amp, a static one for pure fp16."),
    ),
    "tf32": (
        bool,
        False,
        of_recipe("--tf32", help="With --dtype fp32: compute matrix products and convolutions in TF32."),
    ),
}
OWN: dict[str, tuple[Any, Any, Any]] = RECIPE | {
    "auto": (
        bool | None,
        None,
        run("--auto/--disable-auto", help="Choose all that is not given for this machine. [if none is given]"),
    ),
    "resume": (bool, False, run("--resume", "-r", help="Keep the record of this cell if it is finished.")),
    "plan": (bool, False, PLAN),
    "summary": (bool, False, SUMMARY),
    "progress_bar": (bool, False, run("--progress-bar", help="Show progress every two seconds, also in a log file.")),
    "gpus_chosen": (str, "all", GPUS),
    "allow_shared": (bool, False, ALLOW_SHARED),
    "exclusive": (bool, False, EXCLUSIVE),
    "launcher": (str, "local", LAUNCHER),
    "ray_address": (str | None, None, RAY_ADDRESS),
    "slurm": (list[str] | None, None, SLURM),
    "data_dir": (Path | None, None, DATA_DIR),
    "results": (Path | None, None, RESULTS),
    "mixed": (bool, False, MIXED),
    "project": (str | None, None, PROJECT),
    **{name: (bool, False, heard(f"--{name}", help=sink.help)) for name, sink in SINKS.items()},
}
"""Parameter -> its type, its default and its flag, for parameters that are not fields."""


def parameters() -> Iterator[inspect.Parameter]:
    """Yield the parameters of the command: the recipe's with the flags of study S3, all fields, and the others."""
    yield from own_parameters(RECIPE)
    yield from field_parameters(defaults=STUDY_S3)
    yield from own_parameters({name: own for name, own in OWN.items() if name not in RECIPE})


main.__signature__ = inspect.Signature(list(parameters()), return_annotation=int)  # type: ignore[attr-defined]
main.__annotations__ = {p.name: p.annotation for p in parameters()}

if __name__ == "__main__":
    run_command(main)
