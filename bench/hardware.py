"""python -m ampbench hardware: the boards, cores, memory and disks of this machine, and what is ignored and why."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.bench.machine.hardware import find_hardware
from ampbench.bench.machine.report import as_json, report
from ampbench.bench.options import GPUS
from ampbench.bench.plan.data_place import cache_folder
from ampbench.path import ROOT


def main(
    gpus: Annotated[str, GPUS] = "all",
    results: Annotated[
        Path | None, typer.Option(help="Folder for results; by default results/ of the repository.")
    ] = None,
    as_data: Annotated[bool, typer.Option("--json", help="Print it as JSON, sizes in bytes.")] = False,
) -> int:
    """Print what a training can use here: GPUs with memory and abilities, cores, memory, disks, and their limits.

    What is not used is named with the reason. Nothing computes, and no CUDA context is created. Exit code 0, also on a
    machine without a GPU; `python -m ampbench check` says whether everything works.
    """
    places = {"results": (results or ROOT / "results").absolute(), "data": cache_folder()}
    hardware = find_hardware(os.environ, gpus=gpus, places=places)
    text = json.dumps(as_json(hardware), indent=2) if as_data else "\n".join(report(hardware))
    sys.stdout.write(text + "\n")
    return 0
