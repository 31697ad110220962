"""The command that a person typed, for the rows, and for whoever is told how to go on."""

from __future__ import annotations

import os
import shlex
import sys


def command_typed() -> str:
    """Return the command as a person would type it again."""
    by_name = getattr(sys.modules["__main__"].__spec__, "name", None) == "ampbench.__main__"
    return shlex.join(["python", *(["-m", "ampbench"] if by_name else [os.path.relpath(sys.argv[0])]), *sys.argv[1:]])
