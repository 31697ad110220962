"""A simulated GPU: NVIDIA's driver, as far as a machine without one can simulate it (see `driver.c`)."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest


def board_id(index: int, kind: str = "GPU") -> str:
    """Return the UUID of a stand-in; `kind` is MIG for a slice of it."""
    return f"{kind}-{index:08}-2222-3333-4444-555555555555"


class Start(NamedTuple):
    """A library was started."""

    function: str
    """cuInit, nvmlInit, or cuda for any other function of CUDA."""
    pid: int
    parent: int
    visible: str
    """CUDA_VISIBLE_DEVICES of the process, `unset` without one."""


def starts_in(log: Path) -> list[Start]:
    """Return who started what, in order."""
    rows = [line.split() for line in log.read_text().splitlines()]
    return [Start(function, int(pid), int(parent), visible) for function, pid, parent, visible in rows]


@functools.cache
def driver_folder() -> Path:
    """Return a folder with libcuda.so.1 and libnvidia-ml.so.1, for LD_LIBRARY_PATH; skips without a C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler makes the stand-in for the driver")
    folder = Path(tempfile.mkdtemp(prefix="ampbench-stand-in-"))
    source = Path(__file__).with_name("driver.c")
    library = folder / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    (folder / "libnvidia-ml.so.1").symlink_to(library)
    return folder


def with_gpus(*names: str, **variables: object) -> dict[str, str]:
    """Return an environment in which the driver finds boards of these product names, a `!` before those cut by MIG.

    `log` and `pids` become STAND_IN_LOG and STAND_IN_PIDS; other keywords are variables as they are.
    """
    path = os.pathsep.join(filter(None, [str(driver_folder()), os.environ.get("LD_LIBRARY_PATH")]))
    own = {"log": "STAND_IN_LOG", "pids": "STAND_IN_PIDS"}
    given = {own.get(name, name): str(value) for name, value in variables.items()}
    kept = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return kept | {"LD_LIBRARY_PATH": path, "STAND_IN_BOARDS": ";".join(names)} | given
