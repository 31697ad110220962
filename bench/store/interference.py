"""interference.json in a folder of results: whether its cells run slower beside busy boards."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ampbench.bench.store.atomic import write_json
from ampbench.schema.files import INTERFERENCE, SUMMARY
from ampbench.schema.interference import Interference, read_interference


def write_interference(folder: Path, found: Interference) -> None:
    """Add a check to those of a folder; one of the same machine and number of neighbours is replaced.

    What was said of the tables before does not speak of it, and is deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {(one.environment_id, len(one.neighbours)): one for one in (*read_interference(folder), found)}
    write_json(folder / INTERFERENCE, [asdict(one) for one in kept.values()])
    for summary in folder.glob(f"{Path(SUMMARY).stem}*.txt"):
        summary.unlink(missing_ok=True)
