"""What is still undecided in a folder of results, asked of its judge in a process of its own.

The board idles meanwhile, for a second or two: the process must not run beside a measurement.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from ampbench.bench.launch.printed_report import MISSING_MODULE
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import how_to_install
from ampbench.bench.store.folder import Folder
from ampbench.path import ROOT


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """A recipe at a batch size of which a further round would tell something."""

    cells: frozenset[str]
    """Ids of its cells."""
    beside: frozenset[str]
    """Ids of the cells of the reference that it is compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """Where one subject stands."""

    name: str
    words: str
    """As in `bf16 1.8x as fast as fp32; open: tf32 1.02x [0.97, 1.07]`."""
    open: tuple[Open, ...]


def ask(folder: Folder, *, mixed: bool) -> tuple[Subject, ...]:
    """Return what is open of each subject.

    Args:
        folder: with joined tables.
        mixed: whether rows of several machines or versions may stand side by side.

    Raises:
        RequestError: the judge cannot be asked, or cannot compare these results.
    """
    words = ["-m", "ampbench.visualize.undecided", str(folder.path), *["--mixed"] * mixed]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
        errors="replace",
    )  # fmt: skip
    if done.returncode:
        raise RequestError(f"{_why(done.stderr.strip())}; the finished cells are kept, and the same command goes on")
    return tuple(
        Subject(
            name=one["subject"],
            words=one["words"],
            open=tuple(Open(cells=frozenset(o["cells"]), beside=frozenset(o["beside"])) for o in one["open"]),
        )
        for one in json.loads(done.stdout)
    )


def _why(said: str) -> str:
    if absent := MISSING_MODULE.search(said):
        return f'rounds = "adaptive" asks for the verdicts after each round: {how_to_install([absent[1]])}'
    return f"the verdicts cannot be asked for: {said.splitlines()[-1] if said else 'their process was killed'}"
