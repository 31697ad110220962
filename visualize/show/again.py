"""The command that measures one row of the table again, and nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.read.company import are_exclusive
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.selection import text_of

SCRIPT = ".py"
"""Ending of the source of a folder that runs by flags filled: each of its records has a command of its own."""
NO_AXES = ("cell_id", "run_folder", "round")
"""Of a planned cell: what names it, and what tells the processes of one row apart."""
ELSEWHERE = "--results again"
"""Finished cells are not run twice in one folder, so the command writes to another."""


def commands(results: Results, rows: list[Standing]) -> list[str]:
    """Return a command for each row; empty where none is known, or where the plan leaves the cells out."""
    plan, cells = results.plan, results.cells
    # Of several machines each ran some of the seeds, which are the row's.
    are_several = cells["measured_on"].nunique() > 1
    axes, values = _axes(plan.cells, () if are_several else ("seed",))
    groups = cells.groupby(["subject", "batch_size", "recipe"], observed=True).indices
    ids, statuses = cells["cell_id"].to_numpy(), cells["status"].to_numpy()
    own = cells["command"].to_numpy() if "command" in cells else [None] * len(cells)
    found = []
    for row in rows:
        places = groups[row.subject, row.batch_size, row.recipe]
        planned = [values[ids[i]] for i in places if ids[i] in values]
        if all(statuses[i] == "excluded" for i in places):
            found.append("")
        elif planned and plan.source and not plan.source.endswith(SCRIPT):
            alone = " --exclusive" if are_exclusive(cells.iloc[places]) else ""
            found.append(_narrowed(plan.source, axes, planned) + alone)
        else:
            found.append(next((own[i] for i in places if isinstance(own[i], str)), ""))
    return found


def _axes(cells: Sequence[Mapping[str, Any]], left_out: Sequence[str] = ()) -> tuple[list[str], dict[str, list[str]]]:
    """Return the settings in which cells differ, and the values of each cell by its id, as `--only` writes them."""
    texts = [{key: text_of(value) for key, value in cell.items() if key not in (*NO_AXES, *left_out)} for cell in cells]
    names = dict.fromkeys(name for text in texts for name in text)
    axes = [name for name in names if len({text.get(name, "") for text in texts}) > 1]
    of_recipe = {(text.get("precision"), text.get("loss_scale")) for text in texts}
    if "loss_scale" in axes and len(of_recipe) == len({recipe for recipe, _ in of_recipe}):
        axes.remove("loss_scale")  # each recipe has one, so the recipe says it
    return axes, {
        str(cell.get("cell_id")): [text.get(axis, "") for axis in axes] for cell, text in zip(cells, texts, strict=True)
    }


def _narrowed(source: str, axes: Sequence[str], planned: Sequence[Sequence[str]]) -> str:
    """Return the command that runs the cells with these values on the axes of a plan."""
    only = [
        "--only " + shlex.quote(f"{axis}=" + ",".join(dict.fromkeys(values)))
        for axis, values in zip(axes, zip(*planned, strict=True), strict=True)
    ]
    return " ".join(["python bench/run_matrix.py", shlex.quote(source), *only, ELSEWHERE])
