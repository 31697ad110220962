"""What is not the measurement and did not work: said in the log and in the record, while the cell goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ampbench.bench.train.statuses import Interrupted


def note_failure(row: dict[str, Any], what: str, error: BaseException) -> None:
    """Add to the column `passes_failed` what there is none of, and why, in a line; the log gets it too."""
    said = f"no {what}: {type(error).__name__}: {first_line(error)}"
    print(said, file=sys.stderr)
    before = row.get("passes_failed")
    if said not in (before or ""):
        row["passes_failed"] = f"{before}; {said}" if before else said


def attempt(row: dict[str, Any], what: str, work: Callable[[], object]) -> None:
    """Do what may fail in any way, a model that ends the process included, and note it if it does.

    Raises:
        Interrupted: a person wants the process to end.
    """
    try:
        work()
    except Interrupted:
        raise
    except BaseException as e:
        note_failure(row, what, e)


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # one of its own, that cannot say what it is
        lines = []
    return lines[0] if lines else "no message"
