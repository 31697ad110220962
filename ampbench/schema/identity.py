"""What a cell is, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ampbench.schema.column import column, given
from ampbench.schema.statuses import STATUSES, Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Which cell a row is of, and what its settings come to; the settings themselves are columns of their own."""

    cell_id: str = given("", "cell", "Hash of the cell's fields that differ from their default")
    group_id: str = given("", "group", "The same for cells that differ only in precision and round")
    global_batch_size: int = given("", "global batch size", "Images a step, on all GPUs of the cell together")
    study_name: str = given("", "S3 name", "Name of the run in study S3")
    run_folder: str | None = column("", "folder", "Below runs/; null for an excluded cell")
    weights_dtype: str = given("", "weights", "Dtype that the recipe keeps the weights in")
    compute_dtype: str = given("", "compute", "Dtype that the recipe's products run in")
    update: str = given("", "update", "Of 16-bit weights: nearest, master (an fp32 copy), kahan or stochastic")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a cell ended."""

    status: Status = given("", "status", f"One of {' '.join(STATUSES)}")
    because: str | None = column("", "because", "Why the status is not ok, in words; null when it is")


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """When and by what a run was started."""

    order: int | None = column("", "order", "Place in the plan's order of execution")
    command: str | None = column("", "command", "That started the run")
    started_at: datetime | None = column("", "started", "When the worker began")
    waited_s: float | None = column("s", "waited", "For the board, while another worker held it")
