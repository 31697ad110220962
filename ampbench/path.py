"""Where Python finds modules: of this repository, only the name `ampbench`."""

import os
import site
import sys
import sysconfig
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


def for_nodes() -> str:
    """Return the same for a process of another machine, whose Python finds its own library and packages by itself.

    Those of this Python would come before them, and another Python cannot load them.
    """
    library = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    own = {*library, *site.getsitepackages([sys.prefix, sys.base_prefix]), site.getusersitepackages()}
    own |= {str(Path(place, "lib-dynload")) for place in library}
    own |= {str(Path(place).with_name(f"python{sys.version_info[0]}{sys.version_info[1]}.zip")) for place in library}
    return os.pathsep.join(place for place in for_children().split(os.pathsep) if place not in own)
