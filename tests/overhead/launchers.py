"""python -m tests.overhead.launchers: what each way of running cells costs beyond the cells themselves.

    python -m tests.support.slurm_cluster python -m tests.overhead.launchers      # with Slurm, where its packages are

Every way runs the same cells on the CPU, one at a time: one group, and then several. What the command took beyond the
cells' own seconds (column `cell_s`) is a start, paid once, and a rest that grows with the groups. The ways take turns.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq

from ampbench.path import ROOT

TEXT = """
question = "What does a launcher cost?"
[matrix]
seed = {seeds}
precision = ["fp32", "bf16_amp"]
[fixed]
model = "LeNet"
data = "digits"
batch_size = 64
epochs = 1
augment = []
num_threads = 1
"""

NUM_GROUPS = (1, 4)
NUM_TURNS = 2
CELLS_PER_GROUP = 2

WAYS = {
    "this machine": [[]],
    "two shells": [["--shard", "0/2"], ["--shard", "1/2"]],
    "Ray": [["--launcher", "ray"]],
    "Slurm": [["--launcher", "slurm"]],
    "Slurm, cluster=local": [["--launcher", "slurm", "--slurm", "cluster=local"]],
}
"""Way -> the arguments of each command that it starts at the same moment."""


def overhead_s(words: list[list[str]], num_groups: int, place: Path) -> float:
    """Return the seconds that commands took beyond the cells that they ran, one after another."""
    file = place / "cost.toml"
    file.write_text(TEXT.format(seeds=list(range(num_groups))))
    command = [sys.executable, str(ROOT / "bench" / "run_matrix.py"), str(file), "--results", str(place)]
    begun_s = time.perf_counter()
    started = [subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL) for more in words]
    codes = [process.wait() for process in started]
    took_s = time.perf_counter() - begun_s
    assert not any(codes), (words, codes)
    rows = pq.read_table(place / "cost" / "cells.parquet", columns=["status", "cell_s"]).to_pylist()
    assert [row["status"] for row in rows] == ["ok"] * (CELLS_PER_GROUP * num_groups)
    return took_s - sum(row["cell_s"] for row in rows)


def main() -> None:
    """Measure all ways that this machine has, and print a table."""
    ways = {name: words for name, words in WAYS.items() if name != "Slurm" or shutil.which("sbatch")}
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for turn in range(NUM_TURNS):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            for num_groups in NUM_GROUPS:
                with tempfile.TemporaryDirectory(prefix="ampbench-cost-") as folder:
                    found[name, num_groups].append(overhead_s(ways[name], num_groups, Path(folder)))
    few, many = NUM_GROUPS
    print(f"{'way':<24}{'start':>10}{'a group':>10}   beyond the cells, s; each of {NUM_TURNS} turns")
    for name in ways:
        one, several = (statistics.mean(found[name, num]) for num in NUM_GROUPS)
        a_group = (several - one) / (many - few)
        turns = ", ".join(f"{num}: " + " ".join(f"{s:.1f}" for s in found[name, num]) for num in NUM_GROUPS)
        print(f"{name:<24}{one - a_group * few:>10.1f}{a_group:>10.2f}   {turns}")
    print(f"{CELLS_PER_GROUP} cells a group; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
