"""A slow node: a board that is slower than the others of its kind, whatever ran on it.

log(speed) = one level for each subject, batch size and recipe + one for each board of each host, by least squares. The
ratio of two recipes is taken on one board and so keeps its truth; the images/s of a row are the mean over its boards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ampbench.visualize.judge.concern import Concern
from ampbench.visualize.judge.runs.pairs import positive

SLOW = 0.92
"""Ratio of speeds from which a board is named: those of one product differ by 8 % on average (Sinha et al., 2022, "Not
All GPUs Are Created Equal", abstract)."""
FEWEST = 3
"""Processes of a board from which it is judged."""
SURE = 4.0
"""Standard errors beyond those 0: one board among 1,000 equal ones is named."""
COLUMNS = ("cell_id", "environment_id", "subject", "batch_size", "recipe", "images_per_s", "host", "board")
"""What is read of a cell."""
NEXT_MOVE = "look at its clocks, its heat and who else uses it"


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowBoard:
    """A board that is slower than the others of its kind."""

    host: str
    """Empty if unknown."""
    board: str
    times: float
    """Its speed over the median of the others of its environment."""
    num_processes: int
    cell_ids: frozenset[str]
    """Of the cells that ran on it."""

    @property
    def concern(self) -> Concern:
        """What a reader must know of the numbers that were taken on it."""
        which = f"board {self.board[:12]}" + (f" of host {self.host}" if self.host else "")
        name = f"host {self.host}" if self.host and self.board == "cpu" else which
        text = f"{name} runs {self.times:.2f}x as fast as others of its kind ({self.num_processes} runs)"
        return Concern(text=text, next_move=NEXT_MOVE)


def places_of(cells: pd.DataFrame) -> pd.Series:
    """Return the host and the board of each cell; boards alone where a host is unknown, as in older rows."""
    are_known = "host" in cells and cells["host"].notna().all()
    hosts = cells["host"].astype(str) if are_known else pd.Series("", cells.index)
    boards = cells["board"].astype(object).fillna("").astype(str) if "board" in cells else pd.Series("", cells.index)
    return pd.Series(list(zip(hosts, boards, strict=True)), cells.index, dtype=object)


def slow_boards(ok: pd.DataFrame) -> list[SlowBoard]:
    """Return the slow boards among those of each environment.

    Args:
        ok: cells of a folder that ran to their end.
    """
    ok = ok[[name for name in COLUMNS if name in ok]]
    timed = ok.loc[positive(ok["images_per_s"]).index]
    return [one for _, own in timed.groupby("environment_id", sort=False) for one in _of_environment(own)]


def _of_environment(timed: pd.DataFrame) -> Sequence[SlowBoard]:
    places = places_of(timed)
    if places.nunique() < 2:
        return []
    rows = timed.groupby(["subject", "batch_size", "recipe"], observed=True, sort=False).ngroup()
    codes, names = pd.factorize(places)
    logs = np.log(timed["images_per_s"].to_numpy(dtype=float))
    counts = pd.crosstab(rows, codes).to_numpy(dtype=float)  # (rows, boards)
    of_row = pd.factorize(rows, sort=True)[0]
    own = logs - (np.bincount(of_row, logs) / np.bincount(of_row))[of_row]
    # Least squares within the rows (Frisch and Waugh, 1933): thousands of rows never become columns.
    normal = np.diag(counts.sum(axis=0)) - counts.T @ (counts / counts.sum(axis=1, keepdims=True))
    centred = np.bincount(codes, own, len(names))
    effects = np.linalg.pinv(normal) @ centred
    df = len(logs) - len(counts) - (len(names) - 1)
    variance = max(float(own @ own - effects @ centred), 0.0) / df if df > 0 else np.inf
    found = []
    for i, (host, board) in enumerate(names):
        n, others = int(counts[:, i].sum()), np.delete(effects, i)
        shared = (counts[:, i] > 0) & (counts.sum(axis=1) > counts[:, i])
        if n < FEWEST or not shared.any():
            continue
        apart = float(effects[i] - np.median(others))
        error = float(np.sqrt(variance * (1 / n + 1 / max(len(logs) - n, 1))))
        if apart < np.log(SLOW) and -apart > SURE * error:
            ids = frozenset(timed.loc[codes == i, "cell_id"])
            found.append(SlowBoard(host=host, board=board, times=float(np.exp(apart)), num_processes=n, cell_ids=ids))
    return found
