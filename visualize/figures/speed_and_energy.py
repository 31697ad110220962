"""Speed against the energy of an image: which recipes and batch sizes no other one beats in both."""

from __future__ import annotations

import pandas as pd

from ampbench.visualize.figures.shared import trade_offs
from ampbench.visualize.read.frame import Results


def _energy(results: Results) -> pd.Series:
    ok = results.ok
    return ok["joules_per_image"] if "joules_per_image" in ok else pd.Series(float("nan"), ok.index)


FIGURE = trade_offs.figure(
    _energy,
    lambda results: f"{results.label('joules_per_image')}, lower is better",
    "energy",
    name="speed_and_energy",
    title="Speed and energy",
    better="left",
)
