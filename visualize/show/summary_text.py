"""The summary in plain text: what a user reads at the end of a run, in a terminal of any width.

The answer comes first, after the settings that were found for it if any were, then the numbers it rests on, then what
else was found. A large matrix is shortened to a screen
or two; `python -m ampbench export` writes all rows.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from ampbench.terminal import WIDTH
from ampbench.visualize.findings import diagnosis, failures, numerics, work
from ampbench.visualize.judge.answer.answer import Answer
from ampbench.visualize.judge.answer.by_machine import first_lines
from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.notes import notes as notes_of
from ampbench.visualize.read.notes import provenance, reasons
from ampbench.visualize.show import chosen, learning, table, trials, work_table
from ampbench.visualize.show.contenders import MOST, contenders
from ampbench.visualize.show.text_table import fold

MOST_ANSWERS = 6
MOST_LINES = 6
"""Sentences of one kind; a matrix with a wrong setting has one for every row."""


def summary_text(results: Results, rows: list[Standing], advice: Sequence[Answer], width: int = WIDTH) -> str:
    """Return what a user reads at the end of a run.

    Args:
        results: of a folder.
        rows: `standings(results, …)`.
        advice: `answers(results, rows, …)`.
        width: columns of the terminal.
    """
    parts = [part for part in _parts(results, rows, advice, width) if part]
    return "\n\n".join(parts) + "\n"


def answers_text(results: Results, advice: Sequence[Answer], width: int) -> Iterator[str]:
    """Yield the answers in words, the first `MOST_ANSWERS` of them; arguments as those of `summary_text`."""
    if several := first_lines(results, advice):
        yield "\n".join(fold(line, width, "  ") for line in several)
    for answer in advice[:MOST_ANSWERS]:
        yield _answer(answer, width)
    if len(advice) > MOST_ANSWERS:
        export = f"python -m ampbench export {shlex.quote(str(results.folder))} --table answers"
        yield fold(f"{len(advice) - MOST_ANSWERS} further answers: {export}", width)


def _parts(results: Results, rows: list[Standing], advice: Sequence[Answer], width: int) -> Iterator[str]:
    fill, export = partial(fold, width=width), f"python -m ampbench export {shlex.quote(str(results.folder))}"
    yield _chosen(chosen.lines_of(results, rows), width)
    yield from answers_text(results, advice, width)
    if results.search:
        yield trials.text(results, width)
        yield fill(f"{trials.LEGEND} All trials: {export} --table trials")
        yield from _end(results, results.cells[results.cells["status"] != "pruned"], width)
        return
    first = contenders(rows, advice)
    yield table.text(first, width).strip("\n")
    by_subject = [list(own) for _, own in itertools.groupby(first, key=lambda row: row.subject)]
    heads = {head for own in by_subject for head in table.heads_of(own)}
    yield fill(table.legend(results, [row.verdict for row in rows if row.verdict], heads))
    if len(first) < len(rows):
        yield fill(f"{len(rows) - len(first)} further rows: {export} --table summary")
    yield table.health(first, width)
    if len(rows) <= MOST:
        yield from _learned(results, width)
        yield from _work(results, width)
    else:
        trained = ["learned", "durations"] if (results.ok["epochs"] > 0).any() else []
        more = [*trained, *(["work"] if work.is_measured(results) else [])]
        if more:
            yield fill(f"Further tables: {export} --table {' or '.join(more)}")
    yield _points("What is wrong, and what to try next:", diagnosis.findings(results), width)
    yield _points("Known failures:", failures.explanations(results), width)
    yield _points("Numerics:", numerics.findings(results), width)
    yield from _end(results, diagnosis.undiagnosed(results.cells), width)


def _end(results: Results, cells: pd.DataFrame, width: int) -> Iterator[str]:
    """Yield what is missing of some cells, notes, the question and the machine."""
    yield _points("Not measured:", reasons(cells), width)
    yield _points("Notes:", notes_of(results), width)
    asked = [f"Question: {results.question}"] if results.question else []
    yield "\n".join(fold(line, width) for line in [*asked, f"{provenance(results.cells)}."])


def _chosen(lines: Sequence[chosen.Line], width: int) -> str:
    """Return the settings that were found, their heads as a column."""
    room = max((len(line.head) for line in lines), default=0) + 2
    rows = []
    for line in lines:
        first, *more = fold(line.text, width - room).splitlines() or [""]
        rows += [f"{line.head:<{room}}{first}".rstrip(), *(" " * room + text for text in more)]
    return "\n".join(rows)


def _answer(answer: Answer, width: int) -> str:
    lines = [f"  {line.text}" for line in answer.lines]
    return "\n".join([fold(answer.headline, width, "  "), *(fold(line, width, "    ") for line in lines)])


def _learned(results: Results, width: int) -> Iterator[str]:
    trained = learning.rows_of(results)
    if len(trained):
        yield from (table.grid(*one, width).strip("\n") for one in learning.tables(trained))
        yield fold(learning.legend(trained), width)


def _work(results: Results, width: int) -> Iterator[str]:
    rows = work.rows_of(results)
    if len(rows):
        found = work_table.tables(rows)
        yield from (table.grid(*one, width).strip("\n") for one in found)
        yield fold(work_table.legend(found), width)


def _points(head: str, lines: Sequence[str], width: int) -> str:
    return "\n".join([head, *(fold(f"- {line}", width, "  ") for line in _few(lines))]) if lines else ""


def _few(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return list(lines) if more <= 1 else [*lines[:MOST_LINES], f"and {more} more of this kind, in report.html."]
