"""Where Python finds modules: of this repository, only the name `ampbench`."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""


def step_aside() -> None:
    """Let Python find the user's modules in the current folder before the folders beside `ampbench` in the repository.

    Many projects have a models/ of their own, which `import models` must find. Standard modules and installed packages
    still come first. Commands and processes that import the user's model call this. `ampbench` itself is loaded by
    then, so an ampbench.py of the user does not replace it.
    """
    here = str(Path.cwd())
    beside = {"", here, *(str(ROOT / name) for name in (".", "ampbench", "bench"))}
    sys.path[:] = [*(place for place in sys.path if place not in beside), *dict.fromkeys((here, str(ROOT)))]


def for_children() -> str:
    """Return PYTHONPATH for a child process: it finds `ampbench` here, and everything else as this process does."""
    return os.pathsep.join(dict.fromkeys([str(ROOT), *filter(None, sys.path)]))
