"""python bench/check_env.py: is everything here that a training needs? Each line is OK, or says what to do."""

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

import json
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from ampbench.bench.command import run_command
from ampbench.bench.options import GPUS
from ampbench.bench.plan.data_place import use_data_dir
from ampbench.path import ROOT

WORDS = {"ok": "OK", "warning": "WARNING", "failed": "FAILED"}
STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def main(
    data: Annotated[
        str, typer.Option(help="Images to train on, as in an experiment: digits, cifar10, folder:PATH.")
    ] = "digits",
    model: Annotated[str, typer.Option(help="Network to train, as in an experiment.")] = "LeNet",
    image_size: Annotated[int, typer.Option(min=1, help="Height and width of the images in pixels.")] = 32,
    gpus: Annotated[str, GPUS] = "all",
    results: Annotated[
        Path | None, typer.Option(help="Folder for results; by default results/ of the repository.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of CIFAR's archive.")] = None,
    training: Annotated[
        bool, typer.Option("--training/--no-training", help="Train two epochs at the end; some seconds.")
    ] = True,
    as_data: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Check Python, packages, driver, boards, memory, disks, write access and images, then train two epochs.

    Each line is OK, a warning, or what failed and what to do. Nothing is left behind; images that were decoded stay in
    the cache. Exit codes: 0 all that is needed is here, 1 something failed, 2 the request was wrong, 130 interrupted.
    """
    from rich.console import Console
    from rich.text import Text

    from ampbench.bench.auto.checks import findings
    from ampbench.bench.launch.readiness.finding import Subject
    from ampbench.bench.launch.shown.progress import PLAIN

    use_data_dir(data_dir)
    subject = Subject(
        results=(results or ROOT / "results").absolute(),
        data=((data, image_size),),
        models=(model,),
        gpus=gpus,
        asks_network=True,
    )
    console, counts = Console(), Counter[str]()
    rows = []
    working = console.status("checking") if console.is_terminal and not as_data else nullcontext()
    with working:
        for name, found in findings(subject, trains=training):
            counts[found.level] += 1
            rows.append({"check": name, "level": found.level, "said": found.said})
            if not as_data:
                line = Text(f"{WORDS[found.level]:<8}", style=STYLES[found.level])
                console.print(line.append(f"{name:<10} {found.said}", "default"), **PLAIN)
    if as_data:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        console.print(_end(counts), **PLAIN)
    return 1 if counts["failed"] else 0


def _end(counts: Counter[str]) -> str:
    """Return the last line: whether one can begin."""
    warned = f", {counts['warning']} to know about" if counts["warning"] else ""
    if counts["failed"]:
        return f"Not ready: {counts['failed']} of {counts.total()} failed{warned}; each line says what to do."
    return f"Ready: {counts['ok']} OK{warned}. A first experiment: make quickstart"


if __name__ == "__main__":
    run_command(main)
