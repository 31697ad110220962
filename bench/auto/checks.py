"""The checks of an environment, one list: what a person asks before the first long run, cheap ones first."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ampbench.bench.auto.trial import train_two_epochs
from ampbench.bench.launch.readiness.before import CHEAP, asked
from ampbench.bench.launch.readiness.finding import Check, Finding, Subject, failed, ok, warning
from ampbench.bench.launch.readiness.places import data_there
from ampbench.bench.launch.readiness.software import cores_unlimited, python_new_enough
from ampbench.bench.launch.refusals import refuse_shared
from ampbench.bench.machine import driver
from ampbench.bench.machine.discovery import choose_boards, find_boards, surprises
from ampbench.bench.machine.gpus import why_no_gpu
from ampbench.bench.machine.report import one_line
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.source import check_model
from ampbench.path import for_children

TORCH_MARK = "ampbench torch: "
"""Before the line of bench/worker/torch_facts.py, which this process cannot import: it loads torch."""
TORCH_S = 120.0
"""A first import of torch from a slow disk takes tens of seconds."""


def boards_usable(subject: Subject) -> Finding:
    """Whether the driver and its bindings work, and the boards that are asked for exist."""
    try:
        boards = choose_boards(find_boards(subject.environ, subject.library), subject.gpus)
    except RequestError as e:
        return failed(str(e))
    if unmeant := list(surprises(subject.environ, boards.used, subject.library)):
        return warning("; ".join(unmeant))
    gpus = subject.hardware.gpus
    if gpus:
        version = f"driver {gpus[0].driver}" + (f", up to CUDA {gpus[0].cuda}" if gpus[0].cuda else "")
        aside = "".join(f"; ignored: {one.gpu}, {one.because}" for one in subject.hardware.ignored)
        return ok(f"{', '.join(map(str, gpus))}; {version}{aside}")
    because = why_no_gpu(subject.library)
    if because and Path(driver.NVIDIA_DEVICE).exists():
        return failed(
            f"NVIDIA's driver is loaded, but {because}; after an update of the driver reboot, in a container start it "
            "with --gpus all"
        )
    return ok("no NVIDIA GPU: cells run on the CPU")


def torch_agrees(subject: Subject) -> Finding:
    """Whether torch can be loaded and can compute on the GPUs that the driver finds."""
    command = [sys.executable, "-P", "-m", "ampbench.bench.worker.torch_facts"]
    environ = {**subject.environ, "PYTHONPATH": for_children()}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=TORCH_S)
    except subprocess.TimeoutExpired:
        return failed(
            f"torch was not loaded in {TORCH_S:.0f} s: its disk or the GPU's driver hangs; try `{command[0]}`"
        )
    said = [line.removeprefix(TORCH_MARK) for line in done.stdout.splitlines() if line.startswith(TORCH_MARK)]
    if not said:
        end = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return failed(
            f"torch cannot be loaded ({end}); install it again: {Path(sys.executable).name} -m pip install -U torch"
        )
    return compare(json.loads(said[-1]), [gpu.name for gpu in subject.hardware.gpus], subject)


def compare(facts: dict[str, Any], names: list[str], subject: Subject) -> Finding:
    """Compare what torch found (`bench/worker/torch_facts.py`) with the GPUs that NVML finds."""
    built = f"built for CUDA {facts['cuda']}" if facts["cuda"] else "built without CUDA"
    here = f"torch {facts['torch']}, {built}"
    if not names:
        return ok(here)
    if facts["cuda"] is None:
        return failed(f"{here}, and there is {names[0]}; install a build with CUDA: pytorch.org/get-started")
    if facts["because"] or not facts["gpus"]:
        newest = subject.hardware.gpus[0].cuda
        runs = f"the driver runs CUDA up to {newest}: " if newest else ""
        because = facts["because"] or "it finds no GPU"
        return failed(
            f"{here}, cannot use {names[0]} ({because}); {runs}update the driver, or install a build of torch for an "
            "older CUDA"
        )
    return ok(f"{here}, computes on {', '.join(dict.fromkeys(facts['gpus']))}")


def hardware_known(subject: Subject) -> Finding:
    """What the hardware is, with the types that it multiplies."""
    return ok(one_line(subject.hardware))


def nobody_else(subject: Subject) -> Finding:
    """Whether somebody else computes on the boards."""
    try:
        refuse_shared(choose_boards(find_boards(subject.environ, subject.library), subject.gpus).used, subject.library)
    except RequestError as e:
        return warning(str(e))
    return ok("nobody else computes there" if subject.hardware.gpus else "not asked of a CPU")


def models_known(subject: Subject) -> Finding:
    """Whether the models exist."""
    for model in subject.models:
        check_model(model)
    return ok(", ".join(subject.models))


def cifar_reachable(subject: Subject) -> Finding:
    """Whether CIFAR-10, which most experiments here use, could be had."""
    found = data_there(replace(subject, data=(("cifar10", 32),)))
    return found if found.level == "ok" else warning(found.said)


QUICK: tuple[Check, ...] = (
    Check(name="python", ask=python_new_enough),
    *CHEAP,
    Check(name="boards", ask=boards_usable),
    Check(name="hardware", ask=hardware_known),
    Check(name="cores", ask=cores_unlimited),
    Check(name="others", ask=nobody_else),
    Check(name="model", ask=models_known),
    Check(name="cifar10", ask=cifar_reachable),
    Check(name="torch", ask=torch_agrees),
)
"""All but the training, in the order of their lines."""

TRAINING = Check(name="training", ask=train_two_epochs)
"""Tried last, and only where nothing that it needs has failed."""


def findings(subject: Subject, *, trains: bool = True) -> Iterator[tuple[str, Finding]]:
    """Yield the name and the finding of each check as it is found.

    Args:
        subject: the machine, and what is to be run on it.
        trains: whether a training of two epochs is tried too.
    """
    wrong: list[str] = []
    for check in QUICK:
        if check.name == "cifar10" and any(name == "cifar10" for name, _ in subject.data):
            continue
        found = asked(check.ask, subject)
        wrong += [check.name] if found.level == "failed" else []
        yield check.name, found
    if not trains:
        return
    if wrong:
        yield TRAINING.name, warning(f"not tried, for {' and '.join(wrong)} failed")
    else:
        yield TRAINING.name, asked(TRAINING.ask, subject)
