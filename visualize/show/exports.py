"""The tables that can be exported: what a report shows, and what was stored."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial

import pandas as pd

from ampbench.visualize.findings import diagnosis, work
from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.decision.standing import Standing, standings
from ampbench.visualize.judge.verdict import verdict
from ampbench.visualize.read.files import NEEDED, ResultsError
from ampbench.visualize.read.frame import Results, of_matrix
from ampbench.visualize.show import learning, trials
from ampbench.visualize.show.exported import Exported
from ampbench.visualize.show.summary import frame_of
from ampbench.visualize.stats.statistics import Ratio

UNITS = {
    "images_per_s": "images/s",
    "images_per_s_low": "images/s",
    "images_per_s_high": "images/s",
    "images_per_s_sd": "images/s",
    "speedup": "ratio",
    "peak_mib": "MiB",
    "peak_bytes": "bytes",
    "settle_hours": "h",
    "accuracy_points": "points",
    "accuracy_points_low": "points",
    "accuracy_points_high": "points",
}
"""Column that is not stored -> its unit; those of stored columns are in the files."""


def _standings(results: Results) -> list[Standing]:
    return standings(results, verdict.verdicts_of(results))


def summary(results: Results) -> Exported:
    """Return one row per subject, batch size and recipe: measurements and verdicts."""
    return _made(frame_of(_standings(results)), results)


def answers_of(results: Results) -> Exported:
    """Return one row per answer: what to do, the lines that say why, and what would settle the rest."""
    rows = [
        {
            "subject": one.subject,
            "machine": one.machine,
            "action": one.action,
            "recipe": one.recipe or None,
            "batch_size": one.batch_size,
            "headline": one.headline,
            **{
                topic: _joined(one.lines, topic)
                for topic in ("gain", "evidence", "machines", "rounds", "health", "settle", "why", "also")
            },
            "settle_trainings": one.settle.num_trainings if one.settle else None,
            "settle_hours": one.settle.hours if one.settle else None,
        }
        for one in trials.answers(results) or answers(results, _standings(results))
    ]
    return _made(pd.DataFrame(rows), results)


def comparisons(results: Results) -> Exported:
    """Return one row per recipe that is compared with the reference: every ratio with its interval and its verdict."""
    rows = []
    for v in verdict.verdicts_of(of_matrix(results)):
        row: dict[str, object] = {"subject": v.subject, "batch_size": v.batch_size, "recipe": v.recipe}
        row["reference"] = v.reference
        for name, ratio in (("speed", v.speed), ("memory", v.memory), ("energy", v.energy)):
            row |= _ratio(name, ratio)
        row |= {
            "speed_verdict": v.speed.verdict,
            "speed_detectable_share": v.speed.detectable,
            "speed_alpha": v.speed.alpha,
        }
        d = v.accuracy
        row |= {
            "accuracy_points": d.estimate if d else None,
            "accuracy_points_low": d.low if d else None,
            "accuracy_points_high": d.high if d else None,
            "accuracy_n": d.n if d else None,
            "accuracy_verdict": d.verdict if d else None,
            "start_verdict": v.start.verdict if v.start else None,
            "start_loss_difference": v.start.estimate if v.start else None,
        }
        rows.append(row)
    return _made(pd.DataFrame(rows), results)


def _ratio(name: str, ratio: Ratio | None) -> dict[str, object]:
    ends = {"": "estimate", "_low": "low", "_high": "high"}
    found = {f"{name}_ratio{end}": getattr(ratio, field) if ratio else None for end, field in ends.items()}
    return found | {f"{name}_n": ratio.n if ratio else None}


def stored(table: str, results: Results) -> Exported:
    """Return a stored table; of the others than `cells`, the rows of the chosen cells with what tells those apart."""
    rows = results.cells if table == "cells" else results.rows_of(table)
    return _made(rows, results)


def _made(rows: pd.DataFrame, results: Results) -> Exported:
    units = {name: unit for name, (_, unit) in results.labels.items() if unit} | UNITS
    return Exported(rows=rows, units={name: units[name] for name in rows.columns if name in units})


def _joined(lines: object, topic: str) -> str | None:
    said = [line.text for line in lines if line.topic == topic]  # type: ignore[attr-defined]
    return "; ".join(said) or None


TABLES: dict[str, Callable[[Results], Exported]] = {
    "summary": summary,
    "answers": answers_of,
    "comparisons": comparisons,
    "trials": lambda results: _made(trials.frame(results), results),
    "learned": lambda results: _made(_columns(learning.rows_of(results), learning.LEARNED), results),
    "durations": lambda results: _made(_columns(learning.rows_of(results), learning.DURATIONS), results),
    "diagnoses": lambda results: _made(diagnosis.rows_of(results), results),
    "signs": lambda results: _made(diagnosis.signs_rows_of(results), results),
    "work": lambda results: _made(work.rows_of(results), results),
    **{table: partial(stored, table) for table in NEEDED},
}
"""Name of a table -> what makes it from results."""


def _columns(rows: pd.DataFrame, heads: dict[str, str]) -> pd.DataFrame:
    return rows.reindex(columns=["family", *heads.values()])


def named(table: str) -> Callable[[Results], Exported]:
    """Return what makes a table.

    Raises:
        ResultsError: there is no such table.
    """
    if table in TABLES:
        return TABLES[table]
    near = difflib.get_close_matches(table, TABLES, n=1)
    move = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(TABLES)}."
    raise ResultsError(f"--table {table}: no such table. {move}")
