"""What a run on a GPU records besides speed and accuracy, added to a folder of synthetic results.

Learning rate, loss scale with skipped steps, phases, energy, the split of the memory, its history and what was there
at the peak, samples of the board, and samples of the numerics probe: one source for tests of figures and of the page.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ampbench.bench.plan.recipe import RECIPES
from tests.visualize.conftest import Folder

LAYERS = ("features.0", "features.3", "features.7", "features.10", "features.14", "classifier.0", "classifier.3")
MIB = 2**20


def traced(folder: Folder, *, target: float = 0.9) -> Folder:
    """Add to every finished cell what a GPU's run records; histories and samples only to the first seed and round."""
    for table in ("memory", "allocations", "board", "layers", "exponents"):
        folder.rows.setdefault(table, [])
    for row in folder.rows["cells"]:
        if row["status"] == "ok":
            _columns(row, target)
            if row["seed"] == row["round"] == 0:
                _histories(folder, row)
    scaled = {row["cell_id"]: row for row in folder.rows["cells"] if "scaled" in row["precision"]}
    for step in folder.rows["steps"]:
        if step["cell_id"] in scaled:
            skipped = step["step"] in (3, 57, 140)
            step |= {"loss_scale_factor": 65536.0 / 2 ** ((step["step"] > 3) + (step["step"] > 57)), "skipped": skipped}
    for row in scaled.values():
        row["final_loss_scale"] = 16384.0
    ends = {row["cell_id"]: row["epochs"] for row in folder.rows["cells"]}
    for epoch in folder.rows["epochs"]:
        epoch["learning_rate"] = 0.05 * (1 + math.cos(math.pi * epoch["epoch"] / ends[epoch["cell_id"]]))
    return folder


def _columns(row: dict[str, Any], target: float) -> None:
    recipe = RECIPES[row["precision"]]
    half = 0.5 if recipe.weights != "fp32" else 1.0
    step_ms = 1000 * row["batch_size"] / row["images_per_s"]
    row |= {
        "start_steps": 100, "weights_dtype": recipe.weights, "compute_dtype": recipe.compute,
        "weights_bytes": int(80 * MIB * half), "gradients_bytes": int(80 * MIB * half), "buffers_bytes": 64_000,
        "optimizer_bytes": 80 * MIB, "autocast_cache_bytes": 40 * MIB if "amp" in row["precision"] else 0,
        "data_bytes": 180 * MIB, "data_ms": 0.03 * step_ms, "forward_ms": 0.3 * step_ms, "backward_ms": 0.6 * step_ms,
        "update_ms": 0.07 * step_ms, "joules_per_image": 300 / row["images_per_s"], "power_w": 300.0,
        "energy_instrument": "energy_counter", "target_accuracy": target, "sm_clock_mhz": 1700.0,
    }  # fmt: skip
    if row["epochs"] and row["test_accuracy"] > target:
        row["time_to_accuracy_s"] = 50_000 * 0.6 * row["epochs"] / row["images_per_s"]


def _histories(folder: Folder, row: dict[str, Any]) -> None:
    rows, own = folder.rows, {"cell_id": row["cell_id"]}
    rng = np.random.default_rng(len(rows["memory"]))
    static = row["weights_bytes"] + row["gradients_bytes"] + row["optimizer_bytes"]
    rest = row["steady_peak_bytes"] - static
    for i in range(400):
        wave = math.sin(math.pi * ((i % 100) / 100)) ** 2
        level = int(static + rest * wave * (0.97 if i != 250 else 1.0))
        point = {**own, "event": 10 * i, "time_ms": 0.1 * i}
        rows["memory"].append({**point, "allocated_bytes": level})
        kept = {"weights": "weights_bytes", "gradients": "gradients_bytes", "optimizer state": "optimizer_bytes"}
        held = {category: row[column] for category, column in kept.items()} | {"activations": level - static}
        rows["memory"] += [{**point, "allocated_bytes": size, "category": name} for name, size in held.items()]
    parts = {"weights": row["weights_bytes"], "gradients": row["gradients_bytes"], "activations": int(0.8 * rest),
             "optimizer state": row["optimizer_bytes"], "workspace": int(0.2 * rest)}  # fmt: skip
    for category, held in parts.items():
        rows["allocations"].append({
            **own, "moment": "peak", "category": category, "call_site": "models/vgg.py:38 forward",
            "allocated_bytes": held, "num_allocations": 3, "static_known": True,
        })  # fmt: skip
    for i in range(60):
        rows["board"].append({
            **own, "time_s": 0.5 * i, "power_w": 90 + 210 * (i > 8) + 3 * rng.standard_normal(),
            "sm_clock_mhz": 1980 - 280 * (i > 8), "temperature_c": 35 + int(25 * (1 - math.exp(-i / 20))),
            "used_bytes": row["steady_peak_bytes"] + 600 * MIB, "memory_clock_mhz": 2619, "clock_event_reasons": 0,
        })  # fmt: skip
    fp16 = row["compute_dtype"] == "fp16"
    for step, epoch in ((0, 0), (60, 6), (120, 12), (200, 20)):
        for depth, layer in enumerate(LAYERS):
            place = {**own, "step": step, "epoch": epoch, "depth": depth, "layer": layer, "tensor": "gradient"}
            quantities = {
                "num_entries": 1e5, "flushed_share": 0.02 * depth * (1 + step / 100) if fp16 else 0.0,
                "near_overflow_share": 0.004 * (7 - depth) if fp16 else 0.0, "unmoved_share": 0.01 * (1 + step / 40),
            }  # fmt: skip
            rows["layers"] += [{**place, "quantity": q, "value": float(v)} for q, v in quantities.items()]
            rows["exponents"] += [
                {**place, "exponent": e, "count": int(1e5 * math.exp(-((e + 18) ** 2) / 60))} for e in range(-40, 2)
            ]
