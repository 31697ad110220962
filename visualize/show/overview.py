"""The small table beside an answer: what each recipe costs and gains, how well that is known, and what spoils it."""

from __future__ import annotations

from collections.abc import Sequence

from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.read.peaks import Instrument
from ampbench.visualize.show.table import MISSING, shown
from ampbench.visualize.stats.statistics import Ratio


def overview(rows: Sequence[Standing]) -> list[dict[str, str]]:
    """Return the rows of one subject and batch size as words; without the columns in which nothing was measured."""
    lines = [_line(row) for row in rows]
    kept = [head for head in lines[0] if any(line[head] != MISSING for line in lines)] if lines else []
    by = Instrument(names=tuple({row.measured.peak_instrument: None for row in rows if row.measured.peak_instrument}))
    heads = {"memory": f"memory ({by.in_short})"}
    return [{heads.get(head, head): line[head] for head in kept} for line in lines]


def _line(row: Standing) -> dict[str, str]:
    words, measured, verdict = shown(row), row.measured, row.verdict
    speed = f"{words['images/s']} images/s" if measured.images_per_s is not None else words["images/s"]
    if row.speedup is not None:
        speed = f"{words['speed-up']} times, {row.speed}"
    memory = MISSING if measured.peak_mib is None else f"{words['MiB']} MiB"
    energy = MISSING if measured.joules_per_image is None else f"{words['mJ/image']} mJ/image"
    accuracy = words["test %"] if words["test %"] == MISSING else f"{words['test %']} %"
    return {
        "recipe": row.recipe,
        "speed": speed,
        "memory": memory + _change(verdict.memory if verdict else None),
        "energy": energy + _change(verdict.energy if verdict else None),
        "accuracy": f"{accuracy}, {row.accuracy}" if row.accuracy and not row.is_reference else accuracy,
        "evidence": "reference" if row.is_reference else words["evidence"],
        "health": words["health"] if measured.n else MISSING,
    }


def _change(ratio: Ratio | None) -> str:
    """Return by how much a quantity differs from that of the reference; empty if unknown."""
    return f" ({100 * (ratio.estimate - 1):+.0f} %)" if ratio else ""
