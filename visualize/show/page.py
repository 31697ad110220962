"""The page of one experiment: one file that needs no network, with the answers first.

Its parts lie in `html/`: the frame and a template for each section, the style, and two scripts. A section is added by
a line in `SECTIONS`, a template of its name, and what that template reads in `render`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ampbench.visualize.figures import theme
from ampbench.visualize.findings import diagnosis, failures, numerics, whys, work
from ampbench.visualize.findings.explanation import amount, signed
from ampbench.visualize.judge.answer.answer import Answer
from ampbench.visualize.judge.answer.by_machine import first_lines
from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.judge.verdict.ladder import NAMES
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.notes import notes, provenance, reasons
from ampbench.visualize.show import again, chosen, learning, table, trials, work_table
from ampbench.visualize.show.curve_data import curve_data
from ampbench.visualize.show.overview import overview
from ampbench.visualize.show.page_table import PageTable, inlined
from ampbench.visualize.show.pictures import Picture, not_drawn

PARTS = Path(__file__).parent / "html"

SECTIONS = {
    "chosen": "The settings that were found, and why",
    "trials": "Every trial of the search",
    "cells": "Every recipe, side by side",
    "curves": "Training curves",
    "trained": "What was learned, and how long it took",
    "diagnosis": "What is wrong, and what to try next",
    "missing": "Not measured, and why",
    "failures": "Known failures",
    "numerics": "Numerics: gradients and weight updates",
    "work": "What limits a step, and how much of the board it uses",
    "explained": "Why not faster, why not smaller, why NaN",
    "figures": "Figures",
    "method": "Method",
    "again": "How to reproduce",
}
"""Name of a section, of its template and of what it shows -> its heading; an empty one is left out."""

MOST_OPEN = 3
"""Answers whose table is open; of more subjects the tables are folded, so that the answers fit a screen."""

MOST_NAMED = 8
"""Values of one fact, or hosts of one row."""

# fmt: off
FACTS = (
    "machine", "host", "cpu", "num_cores", "threads_used", "driver", "cuda", "cudnn", "power_cap_w", "torch", "python",
    "fp32_precision", "switches", "git_commit", "git_dirty", "method_version", "environment_id",
)
# fmt: on
"""Columns that say on which machine, and with which versions, the numbers were measured."""


@functools.cache
def _templates() -> jinja2.Environment:
    """Return the parts of the page, each compiled once."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PARTS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals |= {"part": lambda name: Markup((PARTS / name).read_text(encoding="utf-8"))}
    environment.filters |= {"amount": amount, "signed": signed}
    return environment


def render(
    results: Results, rows: list[Standing], legend: str, advice: list[Answer], pictures: list[Picture], asked: str = ""
) -> str:
    """Return the page.

    Args:
        results: of one experiment.
        rows: where each recipe stands.
        legend: what the columns of the table mean.
        advice: the answer for each subject.
        pictures: the figures.
        asked: by which wishes of one reader it answers; empty for the usual ones.
    """
    styles = theme.styles_of(results)
    curves = curve_data(results, styles)
    trained = learning.rows_of(results)
    learned_tables, work_tables = learning.tables(trained), work_table.tables(work.rows_of(results))
    legends = {
        "trials": trials.LEGEND,
        "trained": learning.legend(trained),
        "work": work_table.legend(work_tables) if work_tables else "",
    }
    is_search, cells = results.search is not None, results.cells
    lost = cells[cells["status"] != "pruned"] if is_search else diagnosis.undiagnosed(cells)
    lists = {
        "diagnosis": [] if is_search else [*diagnosis.findings(results), *diagnosis.signs(results)],
        "missing": reasons(lost),
        "failures": failures.explanations(results),
        "numerics": numerics.findings(results),
    }
    shown = {
        "chosen": chosen.lines_of(results, rows),
        "trials": _tables("trials", trials.tables(results)),
        "cells": rows and _cells(results, rows, legend, {name: style.colour for name, style in styles.items()}),
        "curves": curves and inlined(curves),
        "trained": [] if is_search else _tables("trained", learned_tables),
        "work": [] if is_search else _tables("work", work_tables),
        **lists,
        "explained": [] if is_search else whys.of_page(results),
        "figures": _further(pictures, not_drawn(results)),
        "method": facts_by_machine(results),
        "again": results.plan,
    }
    page = _templates().get_template("report.html.jinja")
    return page.render(
        name=results.folder.resolve().name,
        question=results.question,
        provenance=provenance(results.cells),
        notes=notes(results),
        first_lines=[*([asked] if asked else []), *first_lines(results, advice)],
        answers=[(answer, *_beside(answer, rows)) for answer in advice],
        most_open=MOST_OPEN,
        key_pictures=[picture for picture in pictures if picture.key],
        sections={name: title for name, title in SECTIONS.items() if shown[name]},
        lists=list(lists),
        shown=shown,
        legends=legends,
        rungs=NAMES,
    )


def _further(pictures: list[Picture], not_drawn: list[str]) -> dict[str, list[Picture] | list[str]]:
    """Return the pictures that are not beside the answer, and the sentences on what is not drawn; empty if neither."""
    further = [picture for picture in pictures if not picture.key]
    return {"pictures": further, "not_drawn": not_drawn} if further or not_drawn else {}


def _cells(results: Results, rows: list[Standing], legend: str, colours: Mapping[str, str]) -> PageTable:
    """Return the table of every row of the results."""
    hosts = _hosts(results)
    lines = [
        {"subject": row.subject}
        | table.shown(row)
        | {"host": hosts.get((row.subject, row.batch_size, row.recipe), table.MISSING)}
        for row in rows
    ]
    several = len(results.subjects) > 1
    commands = again.commands(results, rows)
    return PageTable(
        name="results",
        title="",
        heads=[
            head
            for head in lines[0]
            if head == "precision"
            or ((several or head != "subject") and any(line[head] != table.MISSING for line in lines))
        ],
        words=("subject", *table.LEFT, "host"),
        lines=lines,
        legend=legend,
        colours=colours,
        commands=commands if any(commands) else (),
    )


def _hosts(results: Results) -> dict[tuple[str, int, str], str]:
    """Return subject, batch size and recipe -> its hosts, as in `node1, node2`; none where all ran on one."""
    started = results.cells[results.cells["status"] != "excluded"]
    if "host" not in started or started["host"].nunique() < 2:
        return {}
    by_row = started.dropna(subset=["host"]).groupby(["subject", "batch_size", "recipe"], observed=True)["host"]
    return {(str(s), int(b), str(r)): _few(sorted(set(hosts)), ", ") for (s, b, r), hosts in by_row}


def _tables(name: str, found: Sequence[learning.WordTable]) -> list[PageTable]:
    return [
        PageTable(name=f"{name}-{i}", title=title, heads=heads, words=table.LEFT, lines=lines)
        for i, (title, heads, lines) in enumerate(found)
    ]


def _beside(answer: Answer, rows: list[Standing]) -> tuple[int | None, list[dict[str, str]]]:
    """Return the batch size of an answer, and the table of the recipes that ran with it."""
    own = [row for row in rows if row.subject == answer.subject]
    at = answer.batch_size if answer.batch_size is not None else next((row.batch_size for row in own), None)
    return at, overview([row for row in own if row.batch_size == at])


def facts_by_machine(results: Results) -> dict[str, dict[str, str]]:
    """Return the name of each machine -> its facts; a name is empty where there is one machine."""
    names = dict.fromkeys(results.ok["measured_on"]) or [""]
    found = {name: facts_of(results.where(measured_on=name) if name else results) for name in names}
    return {name: facts for name, facts in found.items() if facts}


def facts_of(results: Results) -> dict[str, str]:
    """Return label -> values of the columns of `FACTS`, without unknown ones."""
    facts, ok = {}, results.ok
    for name in (name for name in FACTS if name in ok):
        values = ok[name].dropna().unique()
        if len(values):
            facts[results.label(name)] = _few([_in_words(value) for value in values], " / ")
    return facts


def _few(words: Sequence[str], between: str) -> str:
    """Return the first words, and how many more there are: a cluster has a thousand hosts."""
    more = len(words) - MOST_NAMED
    return between.join(words[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _in_words(value: Any) -> str:
    """Return a value of a record as a reader writes it: `no` for False, `none` for an empty table in JSON."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str) and value.startswith("{"):
        try:
            said = json.loads(value)
        except ValueError:
            return value
        return ", ".join(f"{key}={one}" for key, one in said.items()) or "none"
    return str(value)
