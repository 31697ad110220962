"""Records of a damaged or older file can hold anything: the rules say less, and never fail."""

from __future__ import annotations

import math
import random
from typing import Any

from ampbench.schema.diagnosis import Records, diagnoses_of
from ampbench.schema.diagnosis.signs import signs_of
from ampbench.visualize.findings.diagnosis import COLUMNS, CURVES

NUMBERS = (None, math.nan, math.inf, -math.inf, 0.0, 0, -1.0, 1e12, 1e-9, 0.5, 10, 3)
WORDS: dict[str, tuple[str | bool | None, ...]] = {
    "status": ("ok", "diverged", "throttled", "oom"), "because": (None, "x"), "data": ("cifar10", "x"),
    "schedule": ("constant", "cosine"), "compute_dtype": ("fp16", "fp32", None), "weights_dtype": ("bf16", None),
    "update": ("nearest", "stochastic"), "loss_scale": ("none", "static:2", None), "bound": ("input", "launch", None),
    "bound_because": (None, "x"), "loader": ("device", "dataloader"), "compile": ("none", "default"),
    "memory_instrument": ("rss", "cuda_allocator", None), "learned": (None, True, False), "diverged_layer": (None, "x"),
    "diverged_in": (None, "forward"), "passes_failed": (None, "x"),
}  # fmt: skip


def test_any_records_can_be_judged() -> None:
    drawn = random.Random(0)

    def row_of(columns: tuple[str, ...]) -> dict[str, Any]:
        return {name: drawn.choice(WORDS.get(name, NUMBERS)) for name in columns}

    found = 0
    for _ in range(3000):
        epochs = [
            row_of(CURVES) | ({"epoch": i + 1} if drawn.random() < 0.95 else {})
            for i in range(drawn.choice([0, 1, 3, 12]))
        ]
        run = Records(cell=row_of(COLUMNS), epochs=epochs, unmoved_share=drawn.choice([None, 0.8, math.nan]))
        found += len(diagnoses_of(run)) + len(list(map(str, signs_of(run))))
    assert found > 3000
