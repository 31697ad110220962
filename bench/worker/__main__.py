"""python -m ampbench.bench.worker RUN_DIR: run the cell that a launcher prepared, by hand or by a scheduler."""

from __future__ import annotations

from ampbench.interruption import end_quietly, raise_again

if __name__ == "__main__":
    end_quietly()

import sys
from pathlib import Path

from ampbench.bench.store.disk import unwritable
from ampbench.bench.store.run import Run
from ampbench.bench.worker.entry import print_report, run_cell
from ampbench.path import step_aside
from ampbench.terminal import show_everything


def main() -> int:
    """Run one cell; exit with 0 and a record, or with 2 if the folder is not that of a run or cannot be written."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: python -m ampbench.bench.worker results/EXPERIMENT/runs/RUN", file=sys.stderr)
        return 2
    try:
        run = Run.load(Path(sys.argv[1]))
    except ValueError as e:
        print(e, file=sys.stderr)
        return 2
    raise_again()
    show_everything()
    step_aside()
    try:
        run_cell(run, print_report)
    except OSError as e:
        because = unwritable(e, run.folder, "start it with --results DIR elsewhere")
        if because is None:
            raise
        print(because, file=sys.stderr)
        return 2
    print(run.record_path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
