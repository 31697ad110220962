"""What a cell is, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ampbench.schema.column import column, given
from ampbench.schema.statuses import STATUSES, Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Which cell a row describes, and what follows from its settings, which are columns of their own."""

    cell_id: str = given("", "cell", "Hash of the cell's fields that differ from their default")
    group_id: str = given("", "group", "The same for cells that differ only in precision and round")
    global_batch_size: int = given("", "global batch size", "Images per step, over all GPUs of the cell")
    study_name: str = given("", "S3 name", "Name of the run in study S3")
    run_folder: str | None = column("", "folder", "Below runs/; null for an excluded cell")
    weights_dtype: str = given("", "weights", "Dtype that the recipe keeps the weights in")
    compute_dtype: str = given("", "compute", "Dtype of the recipe's matrix products and convolutions")
    update: str = given(
        "", "update", "How 16-bit weights are updated: nearest, master (an fp32 copy), kahan or stochastic"
    )
    keep_fp32: str | None = column(
        "",
        "kept in fp32",
        "Layers that the recipe keeps in fp32, as its patterns with a space between; null without any",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a cell ended."""

    status: Status = given("", "status", f"One of {' '.join(STATUSES)}")
    because: str | None = column("", "because", "Why the status is not ok, in words; null when it is ok")


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """When and by what a run was started."""

    order: int | None = column("", "order", "Place in the plan's order of execution")
    command: str | None = column("", "command", "Command that started the run")
    started_at: datetime | None = column("", "started", "When the worker began")
    waited_s: float | None = column("s", "waited", "Time for which other workers held the board, or the machine")
    exclusive: bool | None = column(
        "", "exclusive", "Whether no other cell could be at work on this machine meanwhile (run_matrix.py --exclusive)"
    )
    num_neighbours: int | None = column(
        "",
        "neighbours",
        "Other boards of this machine with a cell of any launcher at work, at the cell's start or its end: the larger",
    )
