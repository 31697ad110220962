"""How comparisons are written: as a table for a terminal or for Markdown, as CSV, as JSON."""

from __future__ import annotations

import enum
import io
import json
import math
import textwrap
from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from ampbench.schema.margins import MARGIN_POINTS
from ampbench.schema.memory import INSTRUMENTS
from ampbench.visualize.judge.compare.comparison import Comparison, Outcome
from ampbench.visualize.judge.compare.match import SHOWN
from ampbench.visualize.judge.compare.side import Side
from ampbench.visualize.judge.runs.replicates import Replicates
from ampbench.visualize.show.table import MISSING, images_or_status
from ampbench.visualize.show.text_table import draw

WIDTH = 160
"""Width of the table in characters, if no terminal has another."""
HEADS = {"batch_size": "batch"}
"""Setting -> the head of its column."""
LEFT = ("speed", "accuracy", *(HEADS.get(name, name) for name in SHOWN))


class Format(enum.StrEnum):
    """How the comparisons are written."""

    TABLE = "table"
    MD = "md"
    CSV = "csv"
    JSON = "json"


def record(found: Comparison) -> dict[str, object]:
    """Return a comparison as one flat row: images/s, ratios B / A, peaks in MiB, accuracies as shares, points."""
    accuracy = found.accuracy
    return {
        **found.axes,
        **{f"n_{side}": own.n for side, own in _sides(found)},
        **{f"num_cells_{side}": own.num_cells for side, own in _sides(found)},
        **{f"status_{side}": own.status for side, own in _sides(found)},
        **{f"images_per_s_{side}": own.images_per_s for side, own in _sides(found)},
        "ratio": found.speed.estimate,
        "ratio_low": found.speed.low,
        "ratio_high": found.speed.high,
        "speed": found.speed.verdict,
        "detectable_share": found.speed.detectable,
        "paired": found.speed.paired,
        "alpha": found.speed.alpha,
        "family": found.family,
        **{f"peak_mib_{side}": own.peak_mib for side, own in _sides(found)},
        **{f"peak_instrument_{side}": own.peak_instrument for side, own in _sides(found)},
        "memory_ratio": found.memory.estimate if found.memory else None,
        "memory_ratio_low": found.memory.low if found.memory else None,
        "memory_ratio_high": found.memory.high if found.memory else None,
        **{f"test_accuracy_{side}": own.test_accuracy for side, own in _sides(found)},
        "points": found.points,
        "points_low": accuracy.low if accuracy else None,
        "points_high": accuracy.high if accuracy else None,
        "accuracy": accuracy.verdict if accuracy else None,
    }


def shown(found: Comparison) -> dict[str, str]:
    """Return a comparison as the words of a table; a dash where nothing was measured."""
    speed, accuracy = found.speed, found.accuracy
    points = str(accuracy).replace(" points", "") if accuracy else f"{found.points:+.2f}"
    return {
        **found.axes,
        "n": f"{speed.n}" if speed.paired else f"{found.a.n}+{found.b.n}",
        "A images/s": images_or_status(found.a),
        "B images/s": images_or_status(found.b),
        "B / A": str(speed) if speed.n else MISSING,
        "speed": speed.verdict,
        "detectable": MISSING
        if math.isnan(speed.detectable)
        else f"{speed.detectable:.1%}"
        if speed.detectable <= 1
        else ">100%",
        "memory": f"{found.memory.estimate - 1:+.1%}" if found.memory else MISSING,
        "points": MISSING if math.isnan(found.points) else points,
        "accuracy": accuracy.verdict if accuracy else MISSING,
    }


def legend(found: Sequence[Comparison]) -> str:
    """Return what the columns of the table mean, on one line."""
    families = " and ".join(dict.fromkeys(c.family for c in found if c.family and c.speed.n > 1))
    shared = f", its noise and its 5 % shared with {families}" if families.startswith("all ") else ""
    parts = [
        "n: pairs of processes, by seed and round, or processes of A+B where they do not pair up",
        f"B / A: ratio of images/s, both geometric means, with its 95 % interval{shared}",
        "speed: of B against A",
        "detectable: the gain that would have shown with 80 % power",
        f"memory: peak of B against that of A{_by(found)}",
        f"points: test accuracy of B minus A's; accuracy: by TOST, margin {MARGIN_POINTS:g} points",
    ]
    return "; ".join(parts[: None if any(not math.isnan(c.points) for c in found) else -1]) + "."


def _by(found: Sequence[Comparison]) -> str:
    """Return by what the peaks were measured, with a comma before it; empty if none is compared."""
    names = dict.fromkeys(c.a.peak_instrument for c in found if c.memory and c.a.peak_instrument)
    return f", {' or '.join(INSTRUMENTS.get(name, name) for name in names)}" if names else ""


def render(outcome: Outcome, sides: Sequence[Side], form: Format, width: int = WIDTH) -> str:
    """Return the comparisons in one of the formats, with notes below; CSV holds only what differs."""
    if form in (Format.CSV, Format.JSON):
        rows = pd.DataFrame([record(c) | {"differs": "; ".join(outcome.differs)} for c in outcome.comparisons])
        if form is Format.CSV:
            return str(rows.to_csv(index=False))
        plain = json.loads(rows.to_json(orient="records", double_precision=15))  # NaN becomes null
        whole = {**{side.name: side.source for side in sides}, "notes": notes(outcome), "comparisons": plain}
        return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    below = [*(f"{side.name}: {side.source}" for side in sides), legend(outcome.comparisons)]
    below += [f"Note: {note}" for note in notes(outcome)]
    if form is Format.MD:
        return "\n\n".join([grid(outcome.comparisons, markdown=True), *below]) + "\n"
    filled = (textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in below)
    return "\n".join([grid(outcome.comparisons, width), "", *filled]) + "\n"


def grid(found: Sequence[Comparison], width: int = WIDTH, *, markdown: bool = False) -> str:
    """Return only the table, without a line end; in Markdown no row is folded."""
    lines = [{HEADS.get(name, name): words for name, words in shown(c).items()} for c in found]
    trained = any(line["points"] != MISSING for line in lines)
    names = [name for name in lines[0] if trained or name not in ("points", "accuracy")]
    keys = [HEADS.get(name, name) for name in found[0].axes]
    if not markdown:
        return draw(lines, width, heads=names, keys=keys, left=LEFT).strip("\n")
    rows = Table(box=box.MARKDOWN)
    for name in names:
        rows.add_column(name, justify="left" if name in LEFT else "right", no_wrap=True)
    for line in lines:
        rows.add_row(*(line[name] for name in names))
    out = io.StringIO()
    Console(file=out, width=10_000, color_system=None, markup=False).print(rows)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")


def notes(outcome: Outcome) -> list[str]:
    """Return what to know before using the numbers, beginning with what was not measured alike."""
    mixed = [f"A and B were not measured alike: {'; '.join(outcome.differs)}."] if outcome.differs else []
    return mixed + outcome.notes


def _sides(found: Comparison) -> tuple[tuple[str, Replicates], ...]:
    return ("a", found.a), ("b", found.b)
