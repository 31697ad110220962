"""Two finished runs as an experiment leaves them, of which the second crashed before its first epoch ended."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.tables import schema

PATIENCE_S = 600
"""A time limit for a test that expects to end long before."""

CELLS = [
    Cell(model="LeNet", data="digits", precision=RECIPES["fp16_amp_scaled"], batch_size=64, epochs=2, seed=seed)
    for seed in (0, 1)
]
RUNS = [cell.run_folder for cell in CELLS]
EPOCHS = [
    {"epoch": 1, "learning_rate": 0.01, "train_loss": 2.25, "test_accuracy": 0.25, "num_skipped": 0},
    {"epoch": 2, "learning_rate": 0.005, "train_loss": float("nan"), "test_accuracy": 0.5, "num_skipped": 3},
]


def write_experiment(folder: Path) -> Path:
    """Write two runs, of which the second crashed before its first epoch ended."""
    for cell, status in zip(CELLS, ("ok", "crashed"), strict=True):
        here = folder / "runs" / cell.run_folder
        here.mkdir(parents=True)
        (here / "cell.json").write_text(json.dumps({"cell": cell.to_json(), "order": 1}))
        row = {"cell_id": cell.cell_id, "group_id": cell.group_id, "study_name": cell.study_name, **cell.settings}
        row |= {"status": status, "started_at": datetime.datetime(2024, 5, 17, 12, tzinfo=datetime.UTC)}
        row |= {"machine": "AMD EPYC, 2 cores", "host": "node7.lab"}
        row |= {"images_per_s": 1234.5, "test_accuracy": 0.5} if status == "ok" else {"because": "killed by SIGKILL"}
        tables = {"record": ("cells", [row])}
        if status == "ok":
            tables["epochs"] = ("epochs", [{"cell_id": cell.cell_id, **epoch} for epoch in EPOCHS])
        for stem, (table, rows) in tables.items():
            pq.write_table(pa.Table.from_pylist(rows, schema=schema(table)), here / f"{stem}.parquet")
    return folder
