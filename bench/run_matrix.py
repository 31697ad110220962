"""python bench/run_matrix.py experiments/quickstart.toml: run every cell of an experiment, then print the verdict."""

import os
import sys

# Started by path, Python puts bench/ itself first on sys.path: `ampbench` would not be found, and a file of ours
# could shadow a standard module.
if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    from ampbench.interruption import end_quietly

    end_quietly()
    from ampbench.path import step_aside

    step_aside()
    from ampbench.bench.plan.packages import require_packages

    require_packages()

import functools
import re
from pathlib import Path
from typing import Annotated

import typer

from ampbench.bench.command import add_switches, run_command
from ampbench.bench.launch.choose import launcher_of, lines_of_jobs, refuse_flags, refuse_trials
from ampbench.bench.options import (
    ALLOW_SHARED,
    DATA_DIR,
    EXCLUSIVE,
    GPUS,
    HEARD,
    LAUNCHER,
    MIXED,
    PLAN,
    PROJECT,
    RAY_ADDRESS,
    RESULTS,
    SLURM,
    SUMMARY,
    run,
    where,
)
from ampbench.bench.plan.data_place import use_data_dir
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import make_plan, narrow, words_of
from ampbench.bench.sinks.sink import SINKS, project_of


def main(
    file: Annotated[Path, typer.Argument(help="The experiment file, as in experiments/quickstart.toml.")],
    plan: Annotated[bool, PLAN] = False,
    predict: Annotated[
        bool,
        run("--predict", help="With --plan: predict the peak memory of each cell; about one second per cell."),
    ] = False,
    summary: Annotated[bool, SUMMARY] = False,
    only: Annotated[
        list[str] | None,
        run(help="Run only cells with this value, as in precision=fp32,bf16_amp. Repeat to narrow."),
    ] = None,
    shard: Annotated[str, run(help="Run part i of n, as in 0/2; a part has whole groups.")] = "0/1",
    again: Annotated[
        list[str] | None,
        run(help="Run cells with this status again, as in crashed,timeout,oom."),
    ] = None,
    gpus: Annotated[str, GPUS] = "all",
    results: Annotated[Path | None, RESULTS] = None,
    data_dir: Annotated[Path | None, DATA_DIR] = None,
    mixed: Annotated[bool, MIXED] = False,
    allow_shared: Annotated[bool, ALLOW_SHARED] = False,
    exclusive: Annotated[bool, EXCLUSIVE] = False,
    check_interference: Annotated[
        bool,
        where(
            "--check-interference",
            help="Run no cell of the file, but see whether one is slower while the other boards work; about 5 minutes.",
        ),
    ] = False,
    launcher: Annotated[str, LAUNCHER] = "local",
    ray_address: Annotated[str | None, RAY_ADDRESS] = None,
    slurm: Annotated[list[str] | None, SLURM] = None,
    project: Annotated[str | None, PROJECT] = None,
    **sinks: bool,
) -> int:
    """Run every cell of an experiment file that has no record yet, each alone in a clean process.

    Then join the records into Parquet, draw report.html and print the verdict. A file with [search] proposes its cells
    itself, and ends with the best setting, as best.toml. It may be interrupted at any time: the
    same command continues where it stopped. Exit codes: 0 done (failed cells are results), 2 the request was wrong,
    130 interrupted.

    Environment: AMPBENCH_CACHE=DIR is the folder for decoded images and downloads (default ~/.cache/ampbench),
    AMPBENCH_LOCKS=DIR that for the locks that all users of this machine share (default: a folder for temporary files).
    """
    use_data_dir(data_dir)
    listening = [name for name, is_wanted in sinks.items() if is_wanted]
    project = project_of(project, listening)
    experiment, part = read_experiment(file), parse_shard(shard)
    if predict and not plan:
        raise RequestError("--predict belongs to --plan: add it, or drop both; a run records what it measures")
    if summary and not plan:
        raise RequestError("--summary belongs to --plan: add it, or drop both; a run records num_parameters")
    if experiment.search:
        narrowed = {"--only": only, "--shard": part != (0, 1), "--predict": predict, "--summary": summary}
        for flag in (flag for flag, is_typed in narrowed.items() if is_typed):
            raise RequestError(f"{flag} is for a list of cells, and {file} searches for them; drop it")
    statuses = tuple(status for text in again or () for status in text.split(","))
    own_gpus = gpus if launcher == "local" else None
    refuse_flags(
        launcher,
        gpus=gpus,
        ray_address=ray_address,
        slurm=slurm,
        of_one_machine=["--check-interference"] if check_interference else (),
    )
    if check_interference:
        others = {"--plan": plan, "--exclusive": exclusive, "--again": again, "[search]": experiment.search}
        for flag in (
            flag for flag, is_typed in (others | {f"--{name}": True for name in listening}).items() if is_typed
        ):
            raise RequestError(
                f"--check-interference times one cell and runs no other, so it takes no {flag}; drop one"
            )
    if plan and experiment.search:
        from ampbench.bench.auto.search.preview import search_outline

        sys.stdout.write("\n".join(search_outline(experiment, results, gpus=own_gpus)) + "\n")
        return 0
    words = words_of(experiment)
    refuse_trials(launcher, dict.fromkeys(f'batch_size = "{word}"' for word, _ in words))
    chosen = functools.partial(
        launcher_of,
        launcher,
        gpus=gpus,
        allow_shared=allow_shared,
        exclusive=exclusive,
        mixed=mixed,
        ray_address=ray_address,
        slurm=slurm,
    )
    if words:
        from rich.console import Console

        from ampbench.bench.auto.found_batches import lines_before_trials, with_found_batches
        from ampbench.bench.launch.options import Options

        places = Options(results=results, launcher=chosen(), mixed=mixed)
        if plan and (before := lines_before_trials(experiment, places, Console())):
            sys.stdout.write("\n".join(before) + "\n")
            return 0
        experiment = with_found_batches(experiment, places, Console())
    planned = None if experiment.search else make_plan(experiment)
    cells = narrow(planned, only=only or (), shard=part) if planned else ()
    if plan and planned:
        from ampbench.bench.launch.shown.preview import dry_run

        shown = {"predict": predict, "summary": summary, "exclusive": exclusive}
        lines = [*dry_run(planned, cells, results, gpus=own_gpus, again=statuses, **shown)]
        lines += lines_of_jobs(launcher, planned, cells, results, slurm=slurm, again=statuses)
        sys.stdout.write("\n".join(lines) + "\n")
        return 0
    from rich.console import Console

    from ampbench.bench.auto.rounds import run_plan
    from ampbench.bench.launch.options import Options

    options = Options(
        results=results,
        launcher=chosen(),
        again=statuses,
        mixed=mixed,
        sinks=listening,
        project=project,
    )
    if check_interference and planned:
        from ampbench.bench.auto.interference.check import check_interference as check
        from ampbench.bench.auto.interference.conditions import OfThisMachine

        return check(planned, cells, options, OfThisMachine(gpus=gpus, allow_shared=allow_shared), Console())
    if planned is None:
        from ampbench.bench.auto.search.session import run_search

        return run_search(experiment, options, Console())
    return run_plan(planned, cells, options, Console())


def parse_shard(text: str) -> tuple[int, int]:
    """Read `i/n`, with i from 0 to n - 1."""
    match = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", text)
    if not match or not int(match[1]) < int(match[2]):
        raise RequestError(f"--shard {text}: write i/n with i from 0 to n-1, as in 0/2 and 1/2")
    return int(match[1]), int(match[2])


add_switches(main, {name: sink.help for name, sink in SINKS.items()}, HEARD)

if __name__ == "__main__":
    run_command(main)
