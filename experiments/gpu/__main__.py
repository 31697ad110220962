"""make gpu: the evidence of one GPU within GPU_MINUTES, evidence first; a red step never stops the next.

    make gpu PYTHON=python3 GPU_MINUTES=8         # on a machine with torch and without our .venv
    python -m experiments.gpu --minutes 8 --only kernels --only tests

Everything lands in results/BOARD/, as results/h200/: tables as Parquet, and make_gpu.log with all that was printed. Run
it again and it goes on: cells that are done are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from ampbench.bench.machine.discovery import choose_boards, find_boards
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import MEASURING, missing, requirement, requirements, to_carry
from ampbench.path import ROOT
from ampbench.terminal import show_everything
from experiments.gpu.steps import STOPPED, Step, rooted, run_steps, say_to, slug

AGAIN = [word for status in ("failed", "crashed", "timeout") for word in ("--again", status)]
"""What went wrong the last time was mended since, or needed more minutes."""

BROKEN = ("failed", "crashed")
"""Statuses of cells that make it red."""

CARRY = "--only-binary=:all: --implementation cp --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64"


def steps_for(folder: Path, python: str = sys.executable) -> list[Step]:
    """Return the steps in order. Shares are seconds of a run of 8 minutes on one H200, by estimate, and generous.

    What torch's first import from a cold disk takes is in the first one's.
    """

    def matrix(name: str, about: str, file: str, share: float, at_least_s: float = 0.0) -> Step:
        command = (python, "bench/run_matrix.py", file, "--results", str(folder), *AGAIN)
        return Step(name=name, about=about, command=command, share=share, at_least_s=at_least_s, goes_on=True)

    return [
        Step(
            name="nvml",
            about="every question that NVML is asked, with its raw answer",
            command=(python, "-m", "experiments.gpu.nvml", str(folder / "nvml.parquet")),
            share=40,
        ),
        matrix(
            "evidence",
            "VGG19 and ResNet18 in every recipe: speed, memory, energy, utilisation",
            "experiments/gpu_evidence.toml",
            share=205,
        ),
        matrix(
            "attention",
            "a ViT in five recipes",
            "experiments/gpu/attention.toml",
            share=55,
        ),
        Step(
            name="kernels",
            about="names of the kernels of five networks in seven recipes",
            command=(python, "-m", "experiments.gpu.kernels", str(folder / "kernels.parquet")),
            share=60,
        ),
        Step(
            name="tests",
            about="the tests that need a GPU",
            command=(python, "-m", "pytest", "-m", "gpu", "-vv", "--tb=short", "-p", "no:xdist"),
            share=75,
        ),
        matrix(
            "training",
            "a training with the numerics probe, the compiler, CUDA graphs",
            "experiments/gpu/training.toml",
            share=50,
        ),
        matrix(
            "rounds",
            "five recipes in three fresh processes each, for the intervals",
            "experiments/gpu/rounds.toml",
            share=50,
            at_least_s=60,
        ),
        Step(
            name="overhead",
            about="what the harness costs beside loops written by hand",
            command=(python, "-m", "pytest", "tests/overhead/test_training.py", "-s", "-p", "no:xdist"),
            share=25,
            at_least_s=60,
        ),
    ]


def missing_packages() -> list[str]:
    """Say what is not installed here, what for, and the commands that bring it; empty if all is there."""
    absent = missing(requirements())
    needed = [requirement(name) for name in MEASURING if requirement(name) in absent]
    others = [line for line in absent if line not in needed]
    lines = [f"not installed, and missed only where it is used: {', '.join(others)}"] if others else []
    if needed:
        words, python = " ".join(f"'{line}'" for line in needed), Path(sys.executable).name
        version = f"--python-version {sys.version_info.major}.{sys.version_info.minor}"
        lines += [
            f"not installed, and nothing is measured without: {', '.join(needed)}. To bring it:",
            f"    {python} -m pip install {words}",
            "or, where no registry can be reached, carry a folder of wheels that another machine fetched:",
            f"    python3 -m pip download {CARRY} {version} -d wheels {words}",
            f"    {python} -m pip install --no-index --find-links wheels {words}",
            f"    (wheels of {', '.join(to_carry(needed))})",
        ]
    return lines


def main() -> int:
    """Run the steps; return 0 if all were done, 1 if a step or a cell went wrong, 2 without a GPU, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m experiments.gpu", description="Evidence of one GPU.")
    parser.add_argument("--minutes", type=float, default=15.0, help="for everything together; default 15")
    parser.add_argument("--results", type=Path, help="folder; default results/BOARD")
    parser.add_argument("--only", action="append", help="name of a step; may be given several times")
    given = parser.parse_args()
    try:
        boards = choose_boards(find_boards(os.environ), None).used
    except RequestError as e:
        print(e, file=sys.stderr)
        return 2
    if not boards[0].is_gpu or boards[0].name is None:
        print("no GPU here, so nothing to give evidence of; on a CPU: make test", file=sys.stderr)
        return 2
    folder = (given.results or ROOT / "results" / slug(boards[0].name)).absolute()
    steps = steps_for(folder)
    unknown = set(given.only or ()) - {step.name for step in steps}
    if unknown or not given.minutes > 0:
        wrong = f"--only {unknown.pop()}: no such step" if unknown else f"--minutes {given.minutes:g}: must be positive"
        print(f"{wrong}; steps are {', '.join(step.name for step in steps)}", file=sys.stderr)
        return 2
    steps = [step for step in steps if given.only is None or step.name in given.only]
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins with it ignored
    show_everything()
    os.chdir(ROOT)
    os.environ |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *_python_path()])}
    with (folder / "make_gpu.log").open("a", encoding="utf-8") as log:
        say = say_to(log)
        say(f"{boards[0].name}, driver {boards[0].driver}: {given.minutes:g} minutes; results in {folder}")
        for line in missing_packages():
            say(line)
        try:
            outcomes = run_steps(steps, minutes=given.minutes, say=say, log=log)
        except KeyboardInterrupt:
            say("interrupted; the same command goes on")
            return 130
        for outcome in outcomes:
            say(f"{outcome.name:12} {outcome.ending:12} {outcome.seconds:6.0f} s")
        (folder / "steps.json").write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
        ends = count_statuses(folder)
        for experiment, statuses in ends.items():
            counts = ", ".join(f"{number} {status}" for status, number in statuses.items())
            say(f"{experiment:12} cells: {counts or 'none yet'}")
        tables = sorted(rooted(path, folder) for path in folder.rglob("*.parquet") if "runs" not in path.parts)
        say(f"results in {folder}: {', '.join(tables)}; to carry them:")
        say(f"    tar --exclude=runs -czf {folder.name}.tgz -C {rooted(folder.parent, ROOT)} {folder.name}")
    goes_on = {step.name for step in steps if step.goes_on}
    fine = ("done", "left out")
    red = [o.name for o in outcomes if o.ending not in fine and not (o.ending == STOPPED and o.name in goes_on)]
    return int(bool(red or any(statuses[status] for statuses in ends.values() for status in BROKEN)))


def count_statuses(folder: Path) -> dict[str, Counter[str]]:
    """Return, for every experiment that has rows, how many cells ended in which status."""
    try:
        from pyarrow.parquet import read_table
    except ImportError:
        return {}
    tables = sorted(folder.glob("*/cells.parquet"))
    return {table.parent.name: Counter(read_table(table, columns=["status"])["status"].to_pylist()) for table in tables}


def _python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(ROOT)]


if __name__ == "__main__":
    sys.exit(main())
