"""Why a recipe is not smaller: the memory at the peak of a step by kind, from one recipe to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ampbench.schema.memory import MIB
from ampbench.schema.memory_history import CATEGORIES
from ampbench.visualize.findings.explanation import (
    Bar,
    Explanation,
    Waterfall,
    amount,
    explained,
    finished,
    listed,
    median_of,
    percent,
    processes,
)
from ampbench.visualize.judge.runs.replicates import geometric_mean
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.peaks import PEAK, instrument_of

STATIC = {
    "weights": "weights_bytes",
    "gradients": "gradients_bytes",
    "optimizer state": "optimizer_bytes",
    "buffers": "buffers_bytes",
    "cast copies": "autocast_cache_bytes",
}
"""Kind of memory that does not depend on the batch size -> its column."""
ACTIVATIONS = "activations and workspace"
FIXED = ("weights", "gradients", "optimizer state")
LEAST_SHARE = 0.05
"""Share of the peak below which a kind is blamed for nothing."""
STAYS = 0.6
"""Ratio of activations above which some of them stay in fp32: without any it would be about a half."""
CASTS = ("cast copies", "autocast cache")

ASK = 'set [measure] passes = ["phases", "memory"]'
"""The line of an experiment file that asks for the missing columns."""


def explain_memory(results: Results, a: str, b: str) -> Explanation:
    """Explain the memory of recipe B at its peak by that of A.

    Args:
        results: of one subject and batch size, in which both recipes have a cell that ran to its end.
        a: the recipe that B is compared with.
        b: the recipe that is explained.
    """
    found = waterfall(results, a, b)
    said = missing(results, a, b) if found is None else why(found, autocast=_is_autocast(finished(results, b)))
    return explained("memory", results, a, b, said, found)


def missing(results: Results, a: str, b: str) -> tuple[str, str]:
    """Say what was not measured, and which line of the experiment file asks for it."""
    peaks = [geometric_mean(finished(results, recipe)[PEAK]) for recipe in (a, b)]
    instrument = instrument_of(results.ok)
    known = (
        f"{b} peaks at {amount(peaks[1] / MIB)} MiB and {a} at {amount(peaks[0] / MIB)} ({instrument.in_short})"
        if peaks[0] and peaks[1]
        else f"no peak of {a} and {b} is known"
    )
    why_not = ", which counts libraries and images too" if instrument.of_process else ""
    return f"{known}{why_not}; what the memory holds was not measured", ASK


def waterfall(results: Results, a: str, b: str) -> Waterfall | None:
    """Return MiB by kind at the peak: from the history of allocations, else by arithmetic; None without both."""
    history = [at_the_peak(results, recipe) for recipe in (a, b)]
    if all(history):
        kinds = [kind for kind in CATEGORIES if any(kind in one for one in history)]
        return _waterfall(
            kinds, history, a, b, f"batch {results.batch_sizes[0]}; every allocation live at the peak, one process each"
        )
    split = [by_arithmetic(finished(results, recipe)) for recipe in (a, b)]
    if not all(split):
        return None
    method = (
        f"batch {results.batch_sizes[0]}; allocator's peak; its fixed parts by arithmetic, the rest is activations; "
        f"medians, {processes(results, a, b)}"
    )
    return _waterfall(list(split[0]), split, a, b, method)


def at_the_peak(results: Results, recipe: str) -> dict[str, float]:
    """Return category -> MiB of what was live at the peak, in the first cell of a recipe with a history."""
    own = results.where(recipe=recipe)
    if own.ok.empty:
        return {}
    rows = own.of_one_cell_each("allocations")
    rows = rows[(rows["moment"] == "peak") & (rows["status"] == "ok")]
    held = rows.groupby(rows["category"].astype(str))["allocated_bytes"].sum() / MIB
    return {str(kind): float(mib) for kind, mib in held.items() if mib}


def by_arithmetic(cells: pd.DataFrame) -> dict[str, float]:
    """Return kind -> MiB: what arithmetic gives, and the rest of the allocator's peak; empty if one is not known."""
    peak = allocator_peak(cells)
    parts = {kind: median_of(cells, column) for kind, column in STATIC.items()}
    if peak is None or any(value is None for value in parts.values()):
        return {}
    known = {kind: value or 0.0 for kind, value in parts.items()}
    if not instrument_of(cells).of_pass:
        known["data"] = median_of(cells, "data_bytes") or 0.0
    rest = peak - sum(known.values())
    known["gradients"] = max(0.0, known["gradients"] + min(0.0, rest))  # not all were there when the peak was
    known[ACTIVATIONS] = max(0.0, rest)
    return {kind: value / MIB for kind, value in known.items()}


def allocator_peak(cells: pd.DataFrame) -> float | None:
    """Return the bytes of the allocator's peak: never the resident set, which holds libraries and images too."""
    return None if cells.empty or instrument_of(cells).of_process else geometric_mean(cells[PEAK])


def why(found: Waterfall, *, autocast: bool = True) -> tuple[str, str]:
    """Return the sentence and the next move.

    Args:
        found: the peaks by kind.
        autocast: whether the second recipe computes under autocast.
    """
    a, b = found.total_a, found.total_b
    change = f"{percent(1 - b / a)} less" if b <= a else f"{percent(b / a - 1)} more"
    head = f"{found.b} peaks at {amount(b)} MiB and {found.a} at {amount(a)} ({change})"
    bars = {bar.label: bar for bar in found.bars}
    parts, moves = [], []
    fixed = sum(bars[kind].b for kind in FIXED if kind in bars)
    unchanged = [kind for kind in FIXED if kind in bars and bars[kind].b > 0.9 * bars[kind].a and bars[kind].b]
    kept = sum(bars[kind].b for kind in unchanged)
    if kept >= LEAST_SHARE * b:
        parts.append(
            f"{_joined(unchanged)} stay as large as in {found.a} ({amount(kept)} MiB, {percent(kept / b)} of the peak)"
        )
    casts = sum(bars[kind].b - bars[kind].a for kind in CASTS if kind in bars)
    if casts >= LEAST_SHARE * b:
        parts.append(f"cast copies of the weights come on top ({amount(casts)} MiB)")
        moves.append((casts, "keep the weights themselves in 16 bit: a recipe without autocast has no cast copies"))
    activations = next((bars[kind] for kind in (ACTIVATIONS, "activations") if kind in bars), None)
    if activations and activations.a >= LEAST_SHARE * a:
        ratio = activations.b / activations.a
        said = f"{activations.label} fall to {percent(ratio)}" if ratio < 0.98 else f"{activations.label} do not fall"
        if ratio > STAYS:
            wide = min(1.0, 2 * ratio - 1)
            said += f", as if {percent(wide)} of them stayed in fp32"
            who = "autocast keeps" if autocast else "compute"
            moves.append(
                (
                    activations.b * wide,
                    f"find the layers that {who} in fp32 (norms, softmax, losses): [measure] "
                    'passes = ["memory"] names the lines that hold the most on a GPU',
                )
            )
        else:
            moves.append((activations.b / 2, "take a smaller batch, or accumulation = 2: activations are what is left"))
        parts.append(said)
    moves.append(
        (fixed / 2, "weights, gradients and optimizer state are what is left: keep them in 16 bit, or take SGD")
    )
    shares = {bar.label: bar.b / b for bar in found.bars}
    sentence = f"{head}: {', '.join(parts)}" if parts else f"{head}: {listed(shares, LEAST_SHARE)} of the peak"
    return sentence, max(moves, key=lambda move: move[0])[1]


def _is_autocast(cells: pd.DataFrame) -> bool:
    """Whether cells compute in another type than that of their weights; True for older records, which do not say."""
    if not {"weights_dtype", "compute_dtype"} <= set(cells) or cells["weights_dtype"].isna().all():
        return True
    return bool((cells["weights_dtype"].astype(str) != cells["compute_dtype"].astype(str)).any())


def _joined(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _waterfall(kinds: list[str], split: Sequence[Mapping[str, float]], a: str, b: str, method: str) -> Waterfall:
    bars = tuple(
        Bar(label=kind, a=split[0].get(kind, 0.0), b=split[1].get(kind, 0.0))
        for kind in kinds
        if split[0].get(kind) or split[1].get(kind)
    )
    return Waterfall(title="Memory at the peak", unit="MiB", a=a, b=b, bars=bars, method=method)
