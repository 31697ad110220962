"""The processes of one cell combined: geometric mean of speed, memory and energy, mean accuracy, or what went wrong.

Geometric means, because a speed-up is one too (`stats.statistics`): where all processes are paired, the images/s of two
rows divided give exactly the ratio that is printed beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ampbench.schema.memory import MIB
from ampbench.visualize.judge.runs.pairs import accuracies, positive
from ampbench.visualize.read.peaks import INSTRUMENT, PEAK, instrument_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Replicates:
    """Cells whose settings are equal except seed and round; None where nothing was measured."""

    status: str
    """`ok`, or the most frequent of the other statuses."""
    because: str | None
    """The reason for that status."""
    num_cells: int
    """Of any status but `excluded`: those were not to run."""
    n: int
    """Processes that ran to their end."""
    num_timed: int
    """Of these, how many have a speed: positive and finite."""
    images_per_s: float | None
    """Geometric mean."""
    images_per_s_low: float | None
    images_per_s_high: float | None
    """The range over the processes; None with fewer than two."""
    images_per_s_sd: float | None
    """Sample standard deviation over the processes; None with fewer than two."""
    peak_mib: float | None
    """Of memory; geometric mean."""
    peak_instrument: str | None
    """By what the peak was measured; None without one."""
    joules_per_image: float | None
    """Geometric mean; None on a CPU."""
    test_accuracy: float | None
    """Mean, as a share."""
    test_accuracy_sd: float | None
    chance: float | None
    """Mean accuracy if every cell diverged: that of guessing."""


COLUMNS = (
    "status",
    "because",
    "images_per_s",
    PEAK,
    INSTRUMENT,
    "joules_per_image",
    "epochs",
    "test_accuracy",
)
"""What is read of a cell."""


def replicates_of(cells: pd.DataFrame) -> Replicates:
    """Combine the cells of one recipe, batch size and subject."""
    ok = cells[cells["status"] == "ok"]
    bad = cells[cells["status"] != "ok"]
    speed, accuracy = positive(ok["images_per_s"]), accuracies(ok)[ok["epochs"] > 0].dropna()
    several = len(speed) > 1
    status = "ok" if bad.empty else str(bad["status"].mode().iloc[0])
    return Replicates(
        status=status,
        because=next(iter(bad.loc[bad["status"] == status, "because"].dropna()), None),
        num_cells=int(cells["status"].ne("excluded").sum()),
        n=len(ok),
        num_timed=len(speed),
        images_per_s=geometric_mean(speed),
        images_per_s_low=_known(speed.min()) if several else None,
        images_per_s_high=_known(speed.max()) if several else None,
        images_per_s_sd=_known(speed.std()),
        peak_mib=geometric_mean(ok[PEAK] / MIB),
        peak_instrument=" and ".join(instrument_of(ok).names) or None,
        joules_per_image=geometric_mean(ok["joules_per_image"]) if "joules_per_image" in ok else None,
        test_accuracy=_known(accuracy.mean()),
        test_accuracy_sd=_known(accuracy.std()),
        chance=_known(cells["test_accuracy"].mean()) if set(cells["status"]) == {"diverged"} else None,
    )


def geometric_mean(column: pd.Series) -> float | None:
    """Return the geometric mean of the positive values, as every table and figure shows it; None without one."""
    known = positive(column)
    if known.nunique() == 1:
        return float(known.iloc[0])  # to the last bit, which exp and log would lose
    return float(np.exp(np.log(known).mean())) if len(known) else None


def _known(number: float) -> float | None:
    """Return a number; None for NaN, which is the mean over nothing."""
    return None if pd.isna(number) else float(number)
