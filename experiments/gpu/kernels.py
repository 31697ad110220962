"""python -m experiments.gpu.kernels OUT.parquet: the CUDA kernels of one step, by network and recipe.

With what ampbench takes each of them for: the facts that the proof of dtypes rests on. Nothing is refused here, and
what is known so far is written after every recipe.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ampbench.bench.measure.kernels import kernel_dtypes
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.atomic import replacing
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.training import Training
from ampbench.bench.worker.cuda import NoCuda, start_cuda
from ampbench.bench.worker.passes.profile import profile_steps

MODELS = ("ResNet18", "ViT_S0_small", "VGG19", "MobileNetV2", "ResNeXt29_32x4d")
NAMES = ("fp32", "tf32", "bf16_amp", "fp16_amp", "bf16", "fp16", "fp8")
WARM_UP = 3
"""Steps before the one that is looked at: cuDNN chooses its algorithms in them."""

SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("recipe", pa.string()),
        ("kernel", pa.string()),
        ("ms", pa.float64()),
        ("dtype", pa.string()),
        ("because", pa.string()),
    ]
)
"""`ms` of a step in all its calls; `dtype` null where it is no matrix product; `because` where a recipe did not run."""


def kernels_of(model: str, recipe: str, device: torch.device, batch_size: int = 128) -> list[dict[str, Any]]:
    """Return a row a kernel of one step; one row with the reason where it does not run."""
    place = {"model": model, "recipe": recipe}
    try:
        cell = Cell(model=model, data="synthetic", precision=RECIPES[recipe], batch_size=batch_size)
        training = Training(cell, load_images("synthetic", 32), device)
        for _ in itertools.islice(training.endless_steps(), WARM_UP):
            pass
        times = profile_steps(training).names
    except Exception as e:  # of whatever kind: the other recipes are looked at all the same
        return [place | {"because": f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"}]
    dtypes = kernel_dtypes(times)
    return [place | {"kernel": name, "ms": 1e3 * s, "dtype": dtypes.get(name)} for name, s in times.items()]


def all_kernels(device: torch.device) -> Iterator[list[dict[str, Any]]]:
    """Return the rows of every network in every recipe."""
    for model in MODELS:
        for recipe in NAMES:
            begun = time.perf_counter()
            rows = kernels_of(model, recipe, device)
            dtypes = sorted({row["dtype"] for row in rows if row.get("dtype")})
            total_ms = sum(row.get("ms", 0.0) for row in rows)
            said = rows[0].get("because") or f"{total_ms:.2f} ms in {len(rows)} kernels, products {dtypes}"
            print(f"{model} {recipe}: {said}; took {time.perf_counter() - begun:.1f} s", flush=True)
            yield rows


def main(out: Path) -> int:
    """Look at them all on the first visible GPU."""
    device = torch.device("cuda")
    try:
        start_cuda(device)
    except NoCuda as e:
        print(e, file=sys.stderr)
        return 1
    found: list[dict[str, Any]] = []
    for rows in all_kernels(device):
        found += rows
        with replacing(out) as partial:
            pq.write_table(pa.Table.from_pylist(found, SCHEMA), partial)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(f"stopped; the kernels so far are in {sys.argv[1]}")
