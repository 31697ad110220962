"""Why is B not faster, not smaller, or NaN? `python -m ampbench explain results/demo --a fp32 --b bf16_amp`.

For each subject and batch size that both recipes ran: step time and memory as waterfalls from A to B, and what the
numbers of the layers show; one sentence and one next move each. Exit code 0; 2 with a line on stderr if the request is
wrong.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import shutil
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ampbench.terminal import WIDTH, saying_unwritten, show_everything
from ampbench.visualize.findings import whys
from ampbench.visualize.findings.explanation import Explanation
from ampbench.visualize.options import Folder, Mixed, Only
from ampbench.visualize.read import frame
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.show.text_table import fold
from ampbench.visualize.show.waterfall_text import waterfall_text

NARROWEST = 60


class Format(enum.StrEnum):
    """How the explanations are written."""

    TEXT = "text"
    JSON = "json"


def text(found: Sequence[Explanation], width: int) -> str:
    """Return the explanations for a terminal of `width` columns."""
    parts: list[str] = []
    heading = ""
    for one in found:
        if one.place != heading:
            heading = one.place
            parts.append(fold(heading, width))
        parts.append(fold(f"{one.question[0].upper()}{one.question[1:]}: {one.sentence}.", width))
        if one.next_move:
            parts.append(fold(f"  Next: {one.next_move}.", width, "  "))
        if one.waterfall and one.waterfall.bars:
            parts.append("\n" + waterfall_text(one.waterfall, width).rstrip("\n"))
            parts.append(fold(f"({one.waterfall.method})", width))
        parts.append("")
    return "\n".join(parts)


def as_json(found: Sequence[Explanation]) -> str:
    """Return the explanations as a list of objects, each with its question and its bars."""
    rows = [{"question": one.question} | dataclasses.asdict(one) for one in found]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def main(
    folder: Folder,
    a: Annotated[str, typer.Option(help="The recipe that B is compared with; by default fp32, or the first.")] = "",
    b: Annotated[str, typer.Option(help="The recipe to explain; by default the fastest other one.")] = "",
    model: Annotated[str, typer.Option(help="Only this model.")] = "",
    batch: Annotated[int | None, typer.Option(min=1, help="Only this batch size.")] = None,
    only: Only = None,
    form: Annotated[Format, typer.Option("--format", help="How to write the explanations.")] = Format.TEXT,
    mixed: Mixed = False,
) -> None:
    """Explain why one recipe is not faster, not smaller, or not finite, from another one."""
    conditions = [*(only or ()), *([f"model={model}"] if model else []), *([f"batch_size={batch}"] if batch else [])]
    try:
        results = frame.of_matrix(frame.read(folder, mixed=mixed, only=conditions))
        if a and b:
            found = whys.explain(results, a, b)
        else:
            found = whys.explain_contenders(results, a, b)
    except ResultsError as e:
        print(e, file=sys.stderr)
        raise typer.Exit(2) from None
    width = max(NARROWEST, shutil.get_terminal_size((WIDTH, 0)).columns)
    sys.stdout.write(as_json(found) if form is Format.JSON else text(found, width))


if __name__ == "__main__":
    show_everything()
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    with saying_unwritten():
        app()
