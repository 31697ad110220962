"""Synthetic results in the real schema: the truth behind the numbers is known, so verdicts can be checked."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.tables import schema

SPEED = {
    "fp32": 1.0,
    "tf32": 1.35,
    "fp16": 2.3,
    "bf16": 2.25,
    "fp16_scaled": 2.2,
    "fp16_amp": 1.8,
    "fp16_amp_scaled": 1.7,
    "bf16_amp": 1.85,
    "bf16_amp_scaled": 1.75,
}
"""Speed as a multiple of that of fp32."""
ACCURACY = {"fp16": -0.004, "bf16": -0.02, "fp16_scaled": -0.002}
"""Difference of accuracy from fp32, as a share."""
ENDS: dict[str, str] = {"diverged": "loss was nan at step 7; first in features.0", "unsupported": "TF32 is a GPU's"}

Rows = dict[str, list[dict[str, Any]]]


@dataclasses.dataclass
class Folder:
    """A folder of results under construction."""

    path: Path
    rows: Rows = dataclasses.field(default_factory=lambda: {"cells": [], "epochs": [], "steps": [], "blocks": []})
    plan: dict[str, Any] | None = None

    def add(
        self, cell: Cell, status: str = "ok", *, noise: float = 0.01, accuracy_noise: float = 0.001, **over: Any
    ) -> None:
        """Add a cell; its speed, memory and accuracy follow from its recipe, batch size and seed."""
        rng = np.random.default_rng([cell.seed, cell.round, cell.batch_size, len(self.rows["cells"])])
        record: dict[str, Any] = {**cell.settings, "cell_id": cell.cell_id, "group_id": cell.group_id, "status": status}
        record["because"] = None if status == "ok" else ENDS.get(status, "left out on purpose")
        if status != "excluded":
            record |= self.measured(cell, rng, noise)
        if status == "ok" and cell.epochs:
            record |= self.trained(cell, rng, accuracy_noise)
        if status == "diverged":
            record |= {"test_accuracy": 0.1}
            self.train(cell, rng, 0.1, epochs=1)
        if status in ("unsupported", "crashed"):
            record |= dict.fromkeys(("images_per_s", "steady_peak_bytes", "startup_peak_bytes"))
        self.rows["cells"].append(record | over)

    def measured(self, cell: Cell, rng: np.random.Generator, noise: float) -> dict[str, Any]:
        """Return the columns that every started cell has."""
        base = 2400 * cell.batch_size / (cell.batch_size + 40) * (1 + 0.02 * cell.seed)
        speed = base * SPEED.get(cell.precision.name, 1.5) * math.exp(noise * rng.standard_normal())
        share = {("fp32", "fp32"): 1.0, ("fp16", "fp16"): 0.55, ("bf16", "bf16"): 0.55}
        size = int(
            2**20 * (600 + 9 * cell.batch_size * share.get((cell.precision.weights, cell.precision.compute), 0.7))
        )
        for i in range(6):
            self.rows["blocks"].append({
                "cell_id": cell.cell_id, "block": i + 1, "epoch": 1, "num_steps": 20, "num_skipped": 0, "device_s": 0.2,
                "wall_s": 0.201, "images_per_s": speed * (1 + 0.01 * rng.standard_normal()), "steady": i > 1,
            })  # fmt: skip
        return {
            "images_per_s": speed, "images_per_s_q1": 0.99 * speed, "images_per_s_q3": 1.01 * speed, "num_blocks": 4,
            "memory_instrument": "cuda_allocator", "steady_peak_bytes": size, "startup_peak_bytes": int(1.3 * size),
            "baseline_bytes": 2**20 * 40, "num_test_images": 10_000, "num_train_images": 50_000,
            "environment_id": "e1", "machine": "Test GPU", "torch": "2.15.0", "python": "3.11.7", "board": "GPU-1",
            "git_commit": "0123456789abcdef", "git_dirty": False, "method_version": 1, "warmup_steady": True,
            "started_at": datetime(2026, 1, 2, tzinfo=UTC), "command": "python bench/run_matrix.py experiments/x.toml",
        }  # fmt: skip

    def trained(self, cell: Cell, rng: np.random.Generator, noise: float) -> dict[str, Any]:
        """Add the epochs and steps of a training, and return the columns about its end."""
        final = 0.93 + 0.002 * cell.seed + ACCURACY.get(cell.precision.name, 0.0) + noise * rng.standard_normal()
        return {"test_accuracy": self.train(cell, rng, final, epochs=cell.epochs)}

    def train(self, cell: Cell, rng: np.random.Generator, final: float, epochs: int) -> float:
        """Add curves towards `final`; return the last value."""
        accuracy = final
        for epoch in range(1, epochs + 1):
            accuracy = final - 0.5 * math.exp(-6 * epoch / epochs) + 0.002 * rng.standard_normal() * (epoch < epochs)
            self.rows["epochs"].append(
                {"cell_id": cell.cell_id, "epoch": epoch, "test_accuracy": accuracy, "train_loss": 1.0}
            )
            for k in range(10):
                step = 10 * (epoch - 1) + k + 1
                loss = 2.3 * math.exp(-5 * step / (10 * epochs)) + 0.02 + 0.1 * rng.random()
                self.rows["steps"].append({"cell_id": cell.cell_id, "step": step, "epoch": epoch, "loss": loss})
        return accuracy

    def write(self) -> Path:
        """Write the four tables and the plan."""
        self.path.mkdir(parents=True, exist_ok=True)
        for table, rows in self.rows.items():
            for order, row in enumerate(rows):
                row.setdefault("order", order) if table == "cells" else None
            pq.write_table(pa.Table.from_pylist(rows, schema=schema(table)), self.path / f"{table}.parquet")
        plan = {
            "question": "Which precision trains fastest without losing accuracy?",
            "source": "experiments/x.toml",
            "toml": 'question = "Which precision trains fastest without losing accuracy?"\n[fixed]\nmodel = "VGG19"\n',
            "git_commit": "0123456789abcdef",
            "command": "python bench/run_matrix.py experiments/x.toml",
            "cells": [],
        }
        (self.path / "plan.json").write_text(json.dumps(plan if self.plan is None else self.plan))
        return self.path


def cell(recipe: str = "fp32", batch_size: int = 128, seed: int = 0, **fields: Any) -> Cell:
    """Return a cell of VGG19 on CIFAR-10, by default trained for 20 epochs."""
    plain: dict[str, Any] = {"model": "VGG19", "data": "cifar10", "epochs": 20} | fields
    return Cell(precision=RECIPES[recipe], batch_size=batch_size, seed=seed, **plain)


def record(**over: Any) -> dict[str, Any]:
    """Return the columns that a finished training has in this version."""
    return {
        "num_classes": 10, "num_parameters": 20_040_522, "best_test_accuracy": 0.941, "best_epoch": 17,
        "train_accuracy": 0.995, "train_loss": 0.0123, "test_loss": 0.3456, "macro_precision": 0.9404,
        "macro_recall": 0.9403, "macro_f1": 0.9402, "train_s": 3600.0, "evaluation_s": 60.0, "cell_s": 3700.0,
        "time_to_accuracy_s": 1800.0, "learned": True,
    } | over  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder of results."""
    return Folder(tmp_path / "results" / "x")


def matrix_in(folder: Folder) -> Callable[..., Path]:
    """Return a function that writes a full matrix into a folder."""

    def write(
        recipes: Iterable[str] = ("fp32", "bf16_amp"),
        batch_sizes: Iterable[int] = (128,),
        seeds: Iterable[int] = (0, 1, 2),
        ends: dict[str, str] | None = None,
        over: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Path:
        for seed in seeds:
            for batch_size in batch_sizes:
                for recipe in recipes:
                    folder.add(cell(recipe, batch_size, seed, **fields), (ends or {}).get(recipe, "ok"), **(over or {}))
        return folder.write()

    return write


@pytest.fixture
def matrix(folder: Folder) -> Callable[..., Path]:
    """Write a full matrix and return its folder."""
    return matrix_in(folder)
