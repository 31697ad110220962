"""What to know before using a number from a folder of results: how it was measured, and what was not measured."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ampbench.visualize.read.company import company
from ampbench.visualize.read.environments import counted
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.peaks import instrument_of
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.read.words import count


def notes(results: Results) -> list[str]:
    """Return what a reader of a table should know before using it, one sentence each."""
    ok, found = results.ok, []
    planned = len(results.plan.cell_ids)
    found += [f"{sentence}." for sentence in results.missing]
    unrun = planned - len(results.cells)
    if unrun > 0:
        found.append(f"{unrun} of {planned} planned cells have not run yet; the same command continues with them.")
    if "warmup_steady" in ok and (unsteady := int(ok["warmup_steady"].eq(False).sum())):
        found.append(f"{unsteady} of {len(ok)} cells were not steady when their warm-up ended.")
    if len(instrument_of(ok).names) > 1:
        found.append("Memory was measured with two instruments, whose numbers cannot be compared.")
    found += company(results)
    for column in ("model_note", "data_note", "memory_note"):
        if column in ok:
            found += [f"{note}." for note in ok[column].dropna().unique()]
    if "git_dirty" in ok and ok["git_dirty"].eq(True).any():
        found.append("ampbench had uncommitted changes, so the commit alone does not reproduce this.")
    return found


def reasons(cells: pd.DataFrame) -> list[str]:
    """Return one line per status and reason, which names the cells: `fp16 at batch 64, 128: diverged, ...`."""
    bad = cells[cells["status"] != "ok"]
    lines = []
    keys = ["subject", "status", "because"]
    several = cells["subject"].nunique() > 1
    for (subject, status, because), rows in bad.groupby(keys, sort=False, dropna=False):
        by_recipe = {r: rows[rows["recipe"] == r] for r in in_order(rows["recipe"])}
        who = "; ".join(f"{recipe} at batch {_listed(own)}" for recipe, own in by_recipe.items())
        text = f"{subject} {who}" if several else who
        lines.append(f"{text}: {status}" + (f", {because}" if isinstance(because, str) and because else ""))
    return lines


def _listed(rows: pd.DataFrame) -> str:
    counts = rows.groupby("batch_size").size()
    return ", ".join(f"{batch} (x{count})" if count > 1 else str(batch) for batch, count in counts.items())


def provenance(cells: pd.DataFrame) -> str:
    """Return machine, versions and number of processes as a sentence without its full stop."""
    ok = cells[cells["status"] == "ok"]
    if ok.empty:
        return "No cell ran to its end"
    named = ok["measured_on"][ok["measured_on"] != ""]
    parts: Sequence[str] = [
        "Measured on " + (counted(named) if len(named) else " / ".join(ok["machine"].dropna().unique())),
        "torch " + " / ".join(ok["torch"].dropna().unique()),
        count(len(ok), "process", "processes"),
        "method " + " / ".join(f"{v:.0f}" for v in ok["method_version"].dropna().unique()),
    ]
    return ", ".join(parts)
