"""Processes whose speed lies far from that of their siblings: named, with the next move, never dropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ampbench.visualize.judge.runs.pairs import positive
from ampbench.visualize.judge.runs.slow_boards import slow_boards
from ampbench.visualize.stats.outlier import FAR, GROSS, z_scores


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlier:
    """One process that was far slower or faster than the other processes of its cell."""

    cell_id: str
    subject: str
    recipe: str
    batch_size: int
    seed: int
    round: int
    times: float
    """Its speed over the median speed of the processes that differ from it only in seed and round."""
    gross: bool
    """Whether it lies so far out that the other comparisons of its family learn nothing from its spread."""
    precision: str
    """As `--only precision=` takes it."""

    @property
    def which(self) -> str:
        """Its place among the processes of its cell, as `--only` takes it."""
        return f"seed {self.seed}, round {self.round}"

    def __str__(self) -> str:
        where = f"{self.recipe} at batch {self.batch_size}, {self.which}"
        return f"{where}, ran {self.times:.2g} times as fast as its siblings"

    @property
    def next_move(self) -> str:
        """How to run it again."""
        only = {"precision": self.precision, "batch_size": self.batch_size, "seed": self.seed, "round": self.round}
        chosen = " ".join(f"--only {name}={value}" for name, value in only.items())
        return f"run again: the same command with --again ok {chosen}"


def outliers_of(ok: pd.DataFrame) -> list[Outlier]:
    """Return the outliers among the cells of one folder that ran to their end, in the order of the cells.

    Args:
        ok: cells of one machine and method; the spread of all of them says what is far.
    """
    known = ok.loc[positive(ok["images_per_s"]).index]
    cells = known.groupby(["subject", "batch_size", "recipe"], observed=True, sort=False)
    if known.empty:
        return []
    # A slow board is named once, as a board: its processes are compared with each other's speed on any board.
    of_board = {cell_id: one.times for one in slow_boards(known) for cell_id in one.cell_ids}
    speeds = known["images_per_s"] / known["cell_id"].map(of_board).fillna(1.0).astype(float)
    z = z_scores(np.log(speeds), cells.ngroup())
    times = speeds / speeds.groupby(cells.ngroup()).transform("median")
    far = np.abs(z) > FAR
    return [
        Outlier(
            cell_id=str(row["cell_id"]),
            subject=str(row["subject"]),
            recipe=str(row["recipe"]),
            batch_size=int(row["batch_size"]),
            seed=int(row["seed"]),
            round=int(row["round"]),
            times=float(time),
            gross=bool(abs(score) > GROSS),
            precision=str(row["precision"]),
        )
        for (_, row), time, score in zip(known[far].iterrows(), times[far], z[far], strict=True)
    ]
