"""Is B faster than A? Two folders of results, or two selections from one.

    python -m visualize.compare results/before results/after --fail-on "slower>2%"
    python -m visualize.compare results/demo --a precision=fp32 --b precision=bf16_amp

One row per cell that both sides ran: images/s of A and B, their ratio B / A with its interval, and the verdict on B:
faster, slower, same or can't tell. Exit code 0; 1 if a --fail-on is established, by the interval and never by the
point; 2 with a line on stderr if the request is wrong or no row has an interval.
"""

from __future__ import annotations

import enum
import io
import json
import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from visualize import comparison, frame, gate, table
from visualize.comparison import Comparison, Outcome, Side
from visualize.files import ResultsError
from visualize.gate import Gate
from visualize.statistics import MARGIN_POINTS

WIDTH = 160
"""Columns of the table where no terminal says otherwise."""
LEFT = ("speed", "accuracy", *comparison.SHOWN)


class Format(enum.StrEnum):
    """How the comparisons are written."""

    TABLE = "table"
    MD = "md"
    CSV = "csv"
    JSON = "json"


def record(found: Comparison) -> dict[str, Any]:
    """Return a comparison as one flat row: images/s, ratios B / A, peaks in MiB, accuracies as shares, points."""
    accuracy = found.accuracy
    return {
        **found.axes,
        **{f"{key}_{side}": own[key] for key in ("n", "num_cells", "status") for side, own in _sides(found)},
        **{f"images_per_s_{side}": own["images_per_s"] for side, own in _sides(found)},
        "ratio": found.speed.estimate,
        "ratio_low": found.speed.low,
        "ratio_high": found.speed.high,
        "speed": found.speed.verdict,
        "detectable_share": found.speed.detectable,
        "paired": found.speed.paired,
        "alpha": found.speed.alpha,
        **{f"steady_peak_mib_{side}": own["steady_peak_mib"] for side, own in _sides(found)},
        "memory_ratio": found.memory.estimate,
        "memory_ratio_low": found.memory.low,
        "memory_ratio_high": found.memory.high,
        **{f"test_accuracy_{side}": own["test_accuracy"] for side, own in _sides(found)},
        "points": found.points,
        "points_low": accuracy.low if accuracy else None,
        "points_high": accuracy.high if accuracy else None,
        "accuracy": accuracy.verdict if accuracy else None,
    }


def shown(found: Comparison) -> dict[str, str]:
    """Return a comparison as the words of a table; what was not measured is a dash."""
    a, b = (table.shown(pd.Series(own, dtype=object).reindex(table.COLUMNS)) for own in (found.a, found.b))
    speed, accuracy = found.speed, found.accuracy
    points = str(accuracy).replace(" points", "") if accuracy else f"{found.points:+.2f}"
    return {
        **found.axes,
        "n": f"{speed.n}" if speed.paired else f"{found.a['n']}+{found.b['n']}",
        "A images/s": a["images/s"],
        "B images/s": b["images/s"],
        "B / A": str(speed) if speed.n else "–",
        "speed": speed.verdict,
        "detectable": "–"
        if math.isnan(speed.detectable)
        else f"{speed.detectable:.1%}"
        if speed.detectable <= 1
        else ">100%",
        "memory": f"{found.memory.estimate - 1:+.1%}" if found.memory.n else "–",
        "points": "–" if math.isnan(found.points) else points,
        "accuracy": accuracy.verdict if accuracy else "–",
    }


def legend(found: Sequence[Comparison]) -> str:
    """Return what the columns of the table mean, on one line."""
    told = sum(c.speed.n > 1 for c in found)
    widened = f", widened by Holm over {told} comparisons" if told > 1 else ""
    parts = [
        "n: processes that pair up by seed and round, or A+B where they do not",
        f"B / A: ratio of images/s with its 95 % interval{widened}",
        "speed: of B against A",
        "detectable: the gain that would have shown with 80 % power",
        "memory: steady peak of B against A",
        f"points: test accuracy of B less A's; accuracy: by TOST, margin {MARGIN_POINTS:g} points",
    ]
    return "; ".join(parts[: None if any(not math.isnan(c.points) for c in found) else -1]) + "."


def render(outcome: Outcome, sides: Sequence[Side], form: Format, width: int = WIDTH) -> str:
    """Return the comparisons as a table for a terminal, Markdown, CSV or JSON; notes below, in CSV left out."""
    rows = [record(c) | {"differs": "; ".join(outcome.differs)} for c in outcome.comparisons]
    if form is Format.CSV:
        return pd.DataFrame(rows).to_csv(index=False)
    if form is Format.JSON:
        plain = json.loads(pd.DataFrame(rows).to_json(orient="records", double_precision=15))  # NaN becomes null
        whole = {**{side.name: str(side).removeprefix(f"{side.name}: ") for side in sides}, "notes": notes(outcome)}
        return json.dumps({**whole, "comparisons": plain}, indent=2, ensure_ascii=False) + "\n"
    words = [shown(c) for c in outcome.comparisons]
    trained = any(line["points"] != "–" for line in words)
    markdown = form is Format.MD
    grid = Table(
        box=box.MARKDOWN if markdown else box.SIMPLE_HEAD, pad_edge=markdown, padding=(0, 1 if markdown else 2, 0, 0)
    )
    names = [name for name in words[0] if trained or name not in ("points", "accuracy")]
    for name in names:
        head = "batch" if name == "batch_size" else name
        grid.add_column(head, justify="left" if name in LEFT else "right", no_wrap=markdown)
    for line in words:
        grid.add_row(*(line[name] for name in names))
    out = io.StringIO()
    console = Console(file=out, width=10_000 if markdown else width, color_system=None, markup=False, highlight=False)
    console.print(grid)
    text = "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")
    below = [*map(str, sides), legend(outcome.comparisons), *(f"Note: {note}" for note in notes(outcome))]
    return "\n\n".join([text, *below] if markdown else [text, "\n".join(below)]) + "\n"


def notes(outcome: Outcome) -> list[str]:
    """Return what to know before using the numbers; first what was not measured alike."""
    mixed = [f"A and B were not measured alike: {'; '.join(outcome.differs)}."] if outcome.differs else []
    return mixed + outcome.notes


def check(gates: Sequence[Gate], found: Sequence[Comparison]) -> int:
    """Say on stderr what a gate establishes and what it leaves open; return 1 if anything is established, else 0."""
    failed = False
    for limit in gates:
        by_result = {result: [c for c in found if limit.breaks(c) is result] for result in (True, None)}
        for result, what in ((True, "established for"), (None, "can't tell, so no failure, for")):
            if by_result[result]:
                listed = ", ".join(map(limit.why, by_result[result]))
                print(f"--fail-on {limit.text}: {what} {listed}", file=sys.stderr)
        failed = failed or bool(by_result[True])
    return int(failed)


def _sides(found: Comparison) -> tuple[tuple[str, dict[str, Any]], ...]:
    return ("a", found.a), ("b", found.b)


def main(
    folder_a: Annotated[Path, typer.Argument(metavar="A", help="Results of one experiment, as in results/demo.")],
    folder_b: Annotated[
        Path | None, typer.Argument(metavar="[B]", help="Those to compare with A; left out, B is chosen from A too.")
    ] = None,
    a: Annotated[
        list[str] | None, typer.Option(help="For A only cells with this value, as in precision=fp32. Several narrow.")
    ] = None,
    b: Annotated[list[str] | None, typer.Option(help="Likewise for B, as in precision=bf16_amp.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Likewise for both, as in batch_size=64,128.")] = None,
    fail_on: Annotated[
        list[str] | None, typer.Option(help="Exit with 1 if established: slower>2%, memory>5%, accuracy<-0.5 (points).")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to write the comparisons.")] = Format.TABLE,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Compare different machines or versions all the same.")
    ] = False,
) -> None:
    """Compare two folders of results, or two selections from one: speed, memory, accuracy, and what may be said."""
    try:
        gates = [gate.parse(text) for text in fail_on or ()]
        if folder_b is None and not (a and b):
            raise ResultsError(
                f"{folder_a}: one folder is no comparison; name a second one, or say what to compare in it, as in "
                "--a precision=fp32 --b precision=bf16_amp"
            )
        results = frame.read(folder_a, mixed=mixed)
        others = results if folder_b in (None, folder_a) else frame.read(folder_b, mixed=mixed)
        sides = (
            comparison.choose("A", results, a or (), only or ()),
            comparison.choose("B", others, b or (), only or ()),
        )
        outcome = comparison.compare(*sides, mixed=mixed)
    except ResultsError as e:
        print(e, file=sys.stderr)
        raise typer.Exit(2) from None
    sys.stdout.write(render(outcome, sides, form, shutil.get_terminal_size((WIDTH, 0)).columns))
    if form is Format.CSV:
        print(*notes(outcome), sep="\n", end="\n" if notes(outcome) else "", file=sys.stderr)
    code = check(gates, outcome.comparisons)
    if all(math.isnan(c.speed.low) for c in outcome.comparisons):
        print(
            "nothing can be told: it takes two processes on each side; run more seeds or [measure] rounds",
            file=sys.stderr,
        )
        raise typer.Exit(2)
    raise typer.Exit(code)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
