"""What `visualize` says of a folder of results, asked in a process of its own: bench/ never imports it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ampbench.bench.plan.errors import RequestError
from ampbench.path import ROOT


class Unanswered(RequestError):
    """The process ended without an answer; the message is what it said last."""


def asked(module: str, folder: Path, *words: str) -> Any:
    """Return what a module of `visualize` prints of a folder as JSON.

    The board idles meanwhile, for a second or two: the process must not run beside a measurement.

    Raises:
        Unanswered: it cannot judge the folder.
    """
    command = [sys.executable, "-m", f"ampbench.visualize.{module}", str(folder), *words]
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace"
    )
    if done.returncode:
        raise Unanswered(done.stderr.strip() or "its process was killed")
    return json.loads(done.stdout)
