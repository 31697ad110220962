"""The rows of the page's main table, and its list of facts."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.visualize.judge.standing import Standing
from ampbench.visualize.read.frame import Results
from ampbench.visualize.show.table import shown

# fmt: off
FACTS = (
    "machine", "cpu", "num_cores", "threads_used", "driver", "cuda", "cudnn", "power_cap_w", "torch", "python",
    "fp32_precision", "switches", "git_commit", "git_dirty", "method_version", "environment_id",
)
# fmt: on
"""Columns that say on which machine, and with which versions, the numbers were measured."""

HEADS = {
    "subject": "subject",
    "batch": "batch_size",
    "precision": "recipe",
    "n": "n",
    "images/s": "images_per_s",
    "speed-up": "speedup",
    "speed": "speed",
    "MiB": "steady_peak_mib",
    "test %": "test_accuracy",
    "accuracy": "accuracy",
}
"""Head of a column -> the column it is sorted by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRow:
    """A row of the page's table."""

    words: dict[str, str]
    """Head of a column -> the text that is shown."""
    numbers: dict[str, object]
    """Head of a column -> the value it is sorted by; empty where nothing was measured."""
    colour: str
    """Of the recipe."""
    status: str
    because: str
    """Empty where nothing went wrong."""


def page_row(row: Standing, colour: str, place: int) -> PageRow:
    """Return a row of the page's table; `place` is the recipe's place in the order of recipes."""
    values = row.values
    numbers = {head: "" if values[column] is None else values[column] for head, column in HEADS.items()}
    return PageRow(
        words={"subject": row.subject} | shown(row),
        numbers=numbers | {"precision": place},
        colour=colour,
        status=row.measured.status,
        because=row.measured.because or "",
    )


def facts_of(results: Results) -> dict[str, str]:
    """Return label -> values of the columns of `FACTS`, without unknown ones."""
    facts = {}
    for name in (name for name in FACTS if name in results.ok):
        values = results.ok[name].dropna().unique()
        if len(values):
            words = [
                f"{v:g}" if isinstance(v, float) else "yes" if v is True else "no" if v is False else str(v)
                for v in values
            ]
            facts[results.label(name)] = " / ".join(words)
    return facts
