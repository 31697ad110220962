"""What several commands ask for, each in the same words, and the headings below which --help lists it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import typer

from ampbench.bench.launch.choose import LAUNCHERS
from ampbench.bench.launch.slurm.resources import KEYS

HEARD = "Who else hears of it"


def below(heading: str) -> Callable[..., Any]:
    """Return typer's Option for flags below a heading."""
    return functools.partial(typer.Option, rich_help_panel=heading)


run, where, kept, heard = map(below, ("What runs", "Where it runs", "Data and results", HEARD))

PLAN = run("--plan", help="Print what would run, and run nothing.")
SUMMARY = run("--summary", help="With --plan: show every network layer by layer, with its parameters.")

GPUS = where(
    "--gpus",
    help="The boards to use: all, or indices among the visible ones, UUIDs and MIG slices, as in 0,2 or GPU-5f2a.",
)
ALLOW_SHARED = where("--allow-shared", help="Measure on a GPU even if other processes use it.")
EXCLUSIVE = where("--exclusive", help="One cell at a time on the whole machine; other launchers wait meanwhile.")
LAUNCHER = where("--launcher", help=f"Where cells run: {' or '.join(LAUNCHERS)}; local is this machine.")
RAY_ADDRESS = where(
    "--ray-address",
    help="With --launcher ray: an existing cluster, as in auto, 10.0.0.1:6379 or ray://10.0.0.1:10001; RAY_ADDRESS "
    "says the same. Without it a cluster of this machine alone is started.",
)
SLURM = where(
    "--slurm",
    metavar="KEY=VALUE",
    help="With --launcher slurm: what a job asks for, as in partition=gpu, time=2:00:00, account=me; "
    f"cluster=local tries it on this machine. Repeat. Keys: {', '.join(KEYS)}.",
)

DATA_DIR = kept("--data-dir", help="Folder of CIFAR's archive; a missing archive is downloaded to it.")
RESULTS = kept("--results", "--out-dir", help="Folder for results; by default results/ of the repository.")
MIXED = kept("--mixed", help="Join rows of different machines or versions.")

PROJECT = heard(
    "--project",
    "--wandb-project",
    help="With --wandb or --swanlab: the project there [ampbench- and the experiment's name].",
)
