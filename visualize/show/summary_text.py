"""The summary in plain text: what a user reads at the end of a run, in a terminal of any width."""

from __future__ import annotations

import textwrap
from functools import partial

from ampbench.terminal import WIDTH
from ampbench.visualize.findings import failures, learned, numerics, work
from ampbench.visualize.judge.answer import Answer
from ampbench.visualize.judge.standing import Standing
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.notes import notes as notes_of
from ampbench.visualize.read.notes import provenance, reasons
from ampbench.visualize.show import learning, table


def summary_text(
    results: Results,
    rows: list[Standing],
    legend: str,
    advice: list[Answer],
    width: int = WIDTH,
) -> str:
    """Return what a user reads at the end of a run: table, legend, reasons, verdict."""
    fill = partial(_filled, width)
    parts = [table.text(rows, width).strip("\n"), fill(legend)]
    trained = learning.rows_of(results)
    if len(trained):
        parts += [table.grid(*one, width).strip("\n") for one in learning.tables(trained)] + [
            fill(learning.legend(trained))
        ]
    missing = reasons(results.cells)
    if missing:
        parts.append("\n".join(["Not measured:", *(fill(f"- {line}", "  ") for line in missing)]))
    notes = notes_of(results)
    if notes:
        parts.append("\n".join(fill(f"Note: {line}", "  ") for line in notes))
    if results.question:
        parts.append(fill(f"Question: {results.question}"))
    parts += [fill(f"Learning: {words}") for words in learned.findings(results)]
    parts += [fill(f"Known failure: {words}") for words in failures.explanations(results)]
    parts += [fill(f"Numerics: {words}") for words in numerics.findings(results)]
    parts += [fill(f"Work: {words}") for words in work.findings(results)]
    parts += [
        "\n".join([fill(f"Verdict: {one.headline}"), *(fill(f"  {line.text}", "    ") for line in one.lines)])
        for one in advice
    ]
    parts.append(fill(f"{provenance(results.cells)}."))
    return "\n\n".join(parts) + "\n"


def _filled(width: int, text: str, indent: str = "") -> str:
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
