"""Results made without a training: a plan, its finished runs, and ways in which files are damaged."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import Plan, make_plan
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.record import write_run
from tests.support.measuring import record_of, traces_of

TEXT = """
question = "Q?"
[matrix]
seed = [0, 1]
precision = ["fp32", "bf16", "bf16_amp"]
[fixed]
model = "LeNet"
data = "digits"
batch_size = 32
[[exclude]]
precision = "bf16"
seed = 1
because = "known to fail"
"""


def plan_of(text: str = TEXT, path: Path = Path("trial.toml")) -> Plan:
    return make_plan(parse_experiment(path, text))


def finish(folder: Folder, plan: Plan, count: int) -> None:
    for cell in plan.cells[:count]:
        folder.run_path(cell).mkdir(parents=True, exist_ok=True)
        steps = [{"step": 1, "epoch": 1, "loss": 2.5}, {"step": 2, "epoch": 1, "loss": 2.0}]
        write_run(folder.run_path(cell), cell, record_of({"status": "ok", "cell_s": 3.0}), traces_of({"steps": steps}))


def spoil(path: Path, how: str) -> None:
    """Damage a file in one of the ways of `DAMAGES`."""
    content = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "foreign":
        pq.write_table(pa.table({"cell_id": ["0123456789abcdef"], "step": [1]}), path)
    else:
        path.write_text("a text\n" * 100)


DAMAGES = ("deleted", "truncated", "empty", "foreign", "text")
