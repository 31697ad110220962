"""Where Python looks for modules: this repository gives it the name `ampbench` and nothing else."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""Of the repository."""


def step_aside() -> None:
    """Let modules of one's own, in the current folder, be found before what lies beside `ampbench` in the repository.

    A project has a models/ as often as not, and ours is no module of that name to it. Standard modules and installed
    packages still come first. For commands, and for processes that import a model of one's own; `ampbench` itself
    is loaded by then, so that an ampbench.py of one's own is not in its way.
    """
    here = str(Path.cwd())
    beside = {"", here, *(str(ROOT / name) for name in (".", "ampbench", "bench"))}
    sys.path[:] = [*(place for place in sys.path if place not in beside), *dict.fromkeys((here, str(ROOT)))]


def for_children() -> str:
    """Return PYTHONPATH for a process of ours: it finds `ampbench` here, and everything else as this one does."""
    return os.pathsep.join(dict.fromkeys([str(ROOT), *filter(None, sys.path)]))
