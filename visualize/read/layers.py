"""What the numerics probe found layer by layer, as frames: which gradients underflow, which weights do not change."""

from __future__ import annotations

import pandas as pd

from ampbench.visualize.read.frame import Results


def flushed(results: Results) -> pd.DataFrame:
    """Return the rows of `layers` that say how much of a gradient is flushed."""
    layers = results.layers
    return layers[(layers["quantity"] == "flushed_share") & (layers["tensor"] == "gradient")]


def unmoved(results: Results) -> pd.DataFrame:
    """Return columns cell_id, recipe, step, epoch, share: the mean over a sample's layers, weighted by their size."""
    layers = results.layers[results.layers["tensor"] == "gradient"]
    keys = ["cell_id", "recipe", "step", "epoch"]
    wide = layers.pivot_table(index=[*keys, "layer"], columns="quantity", values="value", observed=True)
    if not {"unmoved_share", "num_entries"} <= set(wide.columns):
        return pd.DataFrame({key: [] for key in [*keys, "share"]})
    wide = wide.dropna(subset=["unmoved_share"])
    weighted = (wide["unmoved_share"] * wide["num_entries"]).groupby(keys, observed=True).sum()
    share = weighted / wide["num_entries"].groupby(keys, observed=True).sum()
    return share.rename("share").reset_index()


def last_samples(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each cell's last sample."""
    return samples[samples["step"] == samples.groupby("cell_id", observed=True)["step"].transform("max")]


def near_overflow(results: Results) -> pd.DataFrame:
    """Return columns cell_id, recipe, layer, depth, step and value: the largest share near overflow of any tensor."""
    layers = results.layers[results.layers["quantity"] == "near_overflow_share"]
    keys = ["cell_id", "recipe", "layer", "depth", "step"]
    return layers.groupby(keys, observed=True)["value"].max().reset_index()
