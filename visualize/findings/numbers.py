"""Why a recipe gives NaN, or learns less: what the numbers of its layers, its loss scale and its end show."""

from __future__ import annotations

import pandas as pd

from ampbench.schema.diagnosis.training import UNMOVED
from ampbench.visualize.findings.explanation import (
    Bar,
    Explanation,
    Waterfall,
    explained,
    listed,
    median_of,
    percent,
)
from ampbench.visualize.judge.verdict.layers_to_keep import keeping_of
from ampbench.visualize.judge.verdict.numbers import FLUSHED
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.layers import flushed, last_samples, unmoved

SKIPPED = 0.05
"""Share of skipped steps from which the loss scale is named."""
MOST_LAYERS = 8
NO_CAUSE = "so precision is not the cause"
ASK = "set [measure] numerics_samples = 3"
FAR = 0.5
"""Relative distance of a gradient from that in strict fp32 from which a layer is named."""


def explain_numbers(results: Results, a: str, b: str) -> Explanation:
    """Explain why recipe B diverged or loses gradients, and A not.

    Args:
        results: of one subject and batch size, with a cell of B that was started.
        a: the recipe that B is compared with.
        b: the recipe that is explained.
    """
    found = waterfall(results, a, b)
    keeping = keeping_of(results, b)
    keep = keeping.move if keeping else ""
    sentence, move = diverged(results, a, b, keep) or lost(results, b, found)
    if keep and keep not in move and not sentence.endswith(NO_CAUSE):
        move = f"{move}; or {keep}" if move else keep
    return explained("numbers", results, a, b, (sentence, move), found)


def waterfall(results: Results, a: str, b: str) -> Waterfall | None:
    """Return the share of each layer's gradient that is flushed to zero, the worst layers in the order of the model."""
    if not len(results.layers):
        return None
    rows = flushed(results)
    rows = rows[rows["recipe"].isin([a, b])]
    worst = rows.groupby(["layer", "recipe"], observed=True)["value"].max().unstack()
    if b not in worst:
        return None
    depth = rows.groupby("layer", observed=True)["depth"].min()
    worst = worst.reindex(columns=[a, b]).fillna(0.0)
    layers = sorted(worst.nlargest(MOST_LAYERS, b).index, key=lambda layer: depth[layer])
    bars = tuple(
        Bar(label=str(layer), a=100 * float(worst.loc[layer, a]), b=100 * float(worst.loc[layer, b]))
        for layer in layers
        if worst.loc[layer].any()
    )
    return Waterfall(
        title="Gradients flushed to zero", unit="%", a=a, b=b, bars=bars, sums=False,
        method=f"largest of the samples; the worst of {len(worst)} layers",
    )  # fmt: skip


def diverged(results: Results, a: str, b: str, keep: str = "") -> tuple[str, str] | None:
    """Return the sentence and the next move for a recipe of which a cell diverged; else None.

    Args:
        results: of one subject and batch size.
        a: the recipe that B is compared with.
        b: the recipe that is explained.
        keep: the move that keeps few layers in fp32, where these are the trouble.
    """
    cells = results.cells[results.cells["status"] == "diverged"]
    own = cells[cells["recipe"] == b]
    if own.empty:
        return None
    cell = own.iloc[0]
    every = int((results.cells["recipe"] == b).sum())
    head = f"{b} diverged in {len(own)} of {every} processes"
    step, loss, layer, place = (cell.get(f"diverged_{name}") for name in ("step", "loss", "layer", "in"))
    if pd.notna(step):
        head += f", at step {step:.0f}" + (f" with a loss of {loss}" if isinstance(loss, str) else "")
    if isinstance(layer, str):
        head += f"; the first non-finite tensor is in {layer} ({place})"
    if (cells["recipe"] == a).any():
        return f"{head}; {a} diverged too, {NO_CAUSE}", "lower learning_rate, or set grad_clip = 1.0"
    return head, _move(cell, place if isinstance(place, str) else "", keep)


def _move(cell: pd.Series, place: str, keep: str) -> str:
    """Return what to change, by where the first non-finite tensor was."""
    fp16 = "fp16" in {cell.get("weights_dtype"), cell.get("compute_dtype")} or "fp16" in str(cell.get("precision"))
    scaled = pd.notna(cell.get("final_loss_scale"))
    if not fp16:
        keep = keep or "keep that layer in fp32 (keep_fp32)"
        return f"lower learning_rate, or {keep}: bf16 has the range of fp32 and 8 bits of precision"
    if place == "update":
        adam = cell.get("optimizer") in ("adam", "adamw") and cell.get("optimizer_impl") != "fused"
        if adam:
            return "Adam's eps of 1e-8 is 0 in fp16: optimizer_impl = 'fused', or master_weights = true"
        return "keep fp32 copies of the weights: master_weights = true"
    if place == "backward" and scaled:
        return "start from a lower loss scale, as in loss_scale = 'dynamic:init=1024', or use bf16_amp"
    if place == "backward":
        return "scale the loss (a recipe that ends in _scaled), or use bf16_amp"
    return (
        f"fp16 ends at 65,504: {keep or 'keep that layer and the norm behind it in fp32 (keep_fp32)'}, or use bf16_amp"
    )


def lost(results: Results, b: str, found: Waterfall | None) -> tuple[str, str]:
    """Return what recipe B loses on the way though it does not diverge: skipped steps, gradients, updates."""
    ok = results.ok[results.ok["recipe"] == b]
    parts: list[tuple[str, str]] = []
    skipped, steps = median_of(ok, "num_skipped"), median_of(ok, "num_steps")
    if skipped and steps and skipped >= SKIPPED * steps:
        low, high = median_of(ok, "min_loss_scale") or 0, median_of(ok, "max_loss_scale") or 0
        parts.append((
            f"{percent(skipped / steps)} of {steps:,.0f} steps were skipped, since gradients overflowed (loss scale "
            f"{low:g} to {high:g})",
            "start from a lower scale, as in loss_scale = 'dynamic:init=1024', or use bf16_amp, which needs none",
        ))  # fmt: skip
    if found:
        worst = {bar.label: bar.b / 100 for bar in found.bars if bar.b / 100 >= FLUSHED and bar.b > bar.a}
        if worst:
            scaled = median_of(ok, "final_loss_scale")
            move = "raise the loss scale" if scaled else "scale the loss (a recipe that ends in _scaled)"
            few = listed(dict(sorted(worst.items(), key=lambda item: -item[1])[:3]), FLUSHED)
            parts.append((f"gradients are flushed to zero: {few}", f"{move}, or use bf16_amp, which has fp32's range"))
        parts += _unmoved(results, b)
    if parts:
        return f"{b} did not diverge, but " + "; ".join(said for said, _ in parts), parts[0][1]
    if found:
        return f"{b} did not diverge, and no layer loses {percent(FLUSHED)} of its gradient", ""
    return f"{b} did not diverge; what happens to the numbers of its layers was not measured", ASK


def _unmoved(results: Results, b: str) -> list[tuple[str, str]]:
    shares = unmoved(results)
    own = shares[shares["recipe"] == b]
    last = last_samples(own)["share"].mean() if len(own) else 0.0
    random = results.cells.loc[results.cells["recipe"] == b].get("update", pd.Series(dtype=str)).eq("stochastic").any()
    if last < UNMOVED or random:
        return []
    return [
        (
            f"rounding removes the update of {percent(last)} of the weights at the last sample",
            "set master_weights = true",
        )
    ]
