"""Finished runs that are in a folder already: run_one.py adds one cell at a time, and all of them share one table."""

from __future__ import annotations

from dataclasses import replace

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.run import Run
from ampbench.schema.files import RECORD, RUNS

NOTE = "# The last of several cells, each run from its own flags; those of the others are in the column `command`.\n"


def with_earlier(plan: Plan, folder: Folder) -> Plan:
    """Return the plan with the cells of all finished runs of the folder put before its own, oldest first.

    Nothing but the order rests on their times, which the clocks of two machines may have written. A run that this
    version cannot read is left out, and counts as a run of another plan.

    Raises:
        RequestError: a run was written by an older version, and can be converted.
    """
    ours = {cell.cell_id for cell in plan.cells}
    found = []
    for path in (folder.path / RUNS).glob(f"*/{RECORD}"):
        try:
            cell = Run.load(path.parent).cell
        except RequestError:
            raise
        except ValueError:
            continue
        if cell.cell_id not in ours and folder.run_path(cell) == path.parent:
            found.append((path.stat().st_mtime_ns, cell.cell_id, cell))
    earlier = [cell for _, _, cell in sorted(found, key=lambda one: one[:2])]  # the same for two written at one time
    text = plan.experiment.text if not earlier or plan.experiment.text.startswith(NOTE) else NOTE + plan.experiment.text
    return replace(plan, cells=(*earlier, *(plan.cells)), experiment=replace(plan.experiment, text=text))
