"""Why a recipe is not faster: the time of a step by kind of work, from one recipe to the other.

The limit is Amdahl's (1967, "Validity of the single processor approach to achieving large scale computing
capabilities"): what is no matrix product or convolution stays, however fast those become.
"""

from __future__ import annotations

import pandas as pd

from ampbench.schema.column import Column, columns_of
from ampbench.schema.work import KINDS, StepPhases
from ampbench.visualize.findings.explanation import (
    Bar,
    Explanation,
    Waterfall,
    amount,
    explained,
    finished,
    listed,
    percent,
    processes,
)
from ampbench.visualize.judge.runs.replicates import geometric_mean
from ampbench.visualize.judge.verdict.verdict import judge
from ampbench.visualize.read.frame import Results

PRODUCTS = "matrix products and convolutions"
LEAST_SHARE = 0.05
"""Share of a step below which a kind is blamed for nothing."""
LEAST_GAIN = 1.1
"""Ratio of two times below which one is not called faster."""
LONGEST_NAME = 48
"""Characters of a kernel's name."""
PHASES = columns_of(StepPhases)

MOVES = {
    "normalisation": 'fuse the normalisation with its neighbours: compile = "default"',
    "element-wise": 'fuse the element-wise operators: compile = "default"',
    "casts": 'keep the weights themselves in 16 bit (a recipe without autocast), or fuse them: compile = "default"',
    "copies": "look for layout changes: compare channels_last = true and false",
    "optimizer and scaler": "an update takes as long for any batch: take a larger batch_size, or accumulation = 2",
    "data": 'keep the images on the device (loader = "device"), take more num_workers, or augment less',
    "idle": 'give the device more to do at once: a larger batch_size, or compile = "reduce-overhead"',
    "other": "profile a step: its kernels are of unknown kind, as in compiled code on a CPU",
    PRODUCTS: "take a larger batch_size, and channels in multiples of 8, so that they come nearer to the board's peak",
}
"""Kind of work -> what to try where it takes the largest part of a step."""


def explain_step_time(results: Results, a: str, b: str) -> Explanation:
    """Explain the time of a step under recipe B by that under A.

    Args:
        results: of one subject and batch size, in which both recipes have a cell that ran to its end.
        a: the recipe that B is compared with.
        b: the recipe that is explained.
    """
    found = waterfall(results, a, b)
    said = missing(results, a, b) if found is None else why(found)
    return explained("step time", results, a, b, said, found)


def waterfall(results: Results, a: str, b: str) -> Waterfall | None:
    """Return the milliseconds of a step by kind of work; by phase in results without kinds, and None without both."""
    for columns, what in ((KINDS, "by kind of work"), (PHASES, "by phase")):
        spent = [parts_of(finished(results, recipe), columns) for recipe in (a, b)]
        if all(spent):
            bars = tuple(
                Bar(label=label, a=spent[0][label], b=spent[1][label]) for label in spent[0]
                if spent[0][label] or spent[1][label]
            )  # fmt: skip
            longest = longest_of(finished(results, b))
            how = "mean step" if columns is KINDS else "mean step, divided as the phases that were measured one by one"
            method = f"batch {results.batch_sizes[0]}; {how}; {processes(results, a, b)}{longest}"
            return Waterfall(title=f"A step {what}", unit="ms", a=a, b=b, bars=bars, method=method)
    return None


def parts_of(cells: pd.DataFrame, columns: tuple[Column, ...] = KINDS) -> dict[str, float]:
    """Return label -> ms of a step: the mean share of each part times the mean step; empty if not measured."""
    names = [one.name for one in columns]
    if not {*names, "step_ms"} <= set(cells):
        return {}
    known = cells.dropna(subset=[*names, "step_ms"])
    known = known[(known[names].sum(axis=1) > 0) & (known["step_ms"] > 0)]
    if known.empty:
        return {}
    shares = known[names].div(known[names].sum(axis=1), axis=0).mean()
    step_ms = geometric_mean(known["step_ms"]) or 0.0
    return {one.label: float(step_ms * shares[one.name]) for one in columns}


def longest_of(cells: pd.DataFrame) -> str:
    """Return the three longest kernels or operators of a recipe's step in ms; empty if not known."""
    known = cells["longest_work"].dropna() if "longest_work" in cells else pd.Series(dtype=str)
    if known.empty:
        return ""
    few = (item.rpartition(": ") for item in known.iloc[0].split("; ")[:3])
    return "; longest: " + ", ".join(f"{name[:LONGEST_NAME]} {ms} ms" for name, _, ms in few)


def speedup_of(results: Results, a: str, b: str) -> float | None:
    """Return how many times as fast B is, as the verdict tells it where A is its reference; else by the means."""
    cells = results.cells[results.cells["recipe"].isin([a, b])]
    told = [v for v in judge(cells) if v.recipe == b and v.reference == a and v.speed.n]
    if told:
        return float(told[0].speed.estimate)
    before, after = (geometric_mean(finished(results, recipe)["step_ms"]) for recipe in (a, b))
    return before / after if before and after else None


def why(found: Waterfall) -> tuple[str, str]:
    """Return the sentence and the next move."""
    a_ms, b_ms = found.total_a, found.total_b
    ratio = a_ms / b_ms
    head = f"a step takes {amount(b_ms)} ms in {found.b} and {amount(a_ms)} ms in {found.a} ({ratio:.2f}x as fast)"
    by_label = {bar.label: bar for bar in found.bars}
    if found.title.endswith("phase"):
        return f"{head}: {_changes(found)}", (
            "these results have no work by kind: run the file again with this version of ampbench"
        )
    products = by_label.get(PRODUCTS, Bar(label=PRODUCTS, a=0, b=0))
    shares = {bar.label: bar.b / b_ms for bar in found.bars if bar.label != PRODUCTS}
    largest = max(shares, key=lambda label: shares[label], default="other")
    rest = 1 - products.b / b_ms
    if ratio < 1 / LEAST_GAIN:
        worst = max(found.bars, key=lambda bar: bar.change)
        most = max(found.bars, key=lambda bar: bar.b)
        of_which = f"; {percent(most.b / b_ms)} of the step is {most.label}" if most.b >= b_ms / 2 else ""
        return f"{head}: {_changes(found)}{of_which}", MOVES_WHEN_SLOWER.get(worst.label, MOVES[worst.label])
    own = products.a / products.b if products.b else 0.0
    parts = f": {products.label} take {amount(products.b)} ms instead of {amount(products.a)}"
    if products.a < LEAST_SHARE * a_ms:
        said = f"{head}: only {percent(products.a / a_ms)} of a step in {found.a} is {PRODUCTS}"
        return f"{said}, which precision speeds up; the rest is {listed(shares, LEAST_SHARE)}", MOVES[largest]
    if own < LEAST_GAIN:
        return f"{head}{parts}: they are not faster in {found.b} on this machine", MOVES[PRODUCTS]
    limit = a_ms / (b_ms - products.b) if rest > 0 else 0.0
    said = f"{head}{parts} ({own:.1f}x as fast)"
    if rest < LEAST_SHARE:
        return f"{said}, and are {percent(products.b / b_ms)} of the step: nothing else slows it down", MOVES[PRODUCTS]
    said += f", and {percent(rest)} of the step is other work ({listed(shares, LEAST_SHARE) or 'no kind above 5 %'})"
    said += f"; if they took no time at all, it would be {limit:.1f}x"
    return said, MOVES[largest] if shares[largest] >= products.b / b_ms / 2 else MOVES[PRODUCTS]


MOVES_WHEN_SLOWER = {
    PRODUCTS: "this machine has no fast path for these products in that dtype, or they are too small: take another "
    "recipe or a larger batch_size",
}


def missing(results: Results, a: str, b: str) -> tuple[str, str]:
    """Say what was not measured, and which line of the experiment file asks for it."""
    speedup = speedup_of(results, a, b)
    known = f"{b} is {speedup:.2f}x as fast as {a}" if speedup else f"no speed of {a} and {b} is known"
    return f"{known}, but where the time of a step goes was not measured", 'set [measure] passes = ["phases"]'


def why_slower(results: Results, a: str, b: str) -> str:
    """Return `why bf16_amp is no faster: casts +3.2 ms, …`.

    Empty where it is faster, where the runs do not tell whether it is, or where there is no work by kind.
    """
    found = waterfall(results, a, b)
    if found is None or found.title.endswith("phase") or found.total_a / found.total_b > LEAST_GAIN:
        return ""
    if not _tells_apart(results, a, b):
        return ""
    return f"why {b} is no faster than {a} ({amount(found.total_b)} and {amount(found.total_a)} ms): {_changes(found)}"


def _tells_apart(results: Results, a: str, b: str) -> bool:
    """Return whether every run of B took longer than every run of A, or the runs of each are alike."""
    ok = results.ok
    times = [ok.loc[ok["recipe"].astype(str) == recipe, "step_ms"].dropna() for recipe in (a, b)]
    if any(own.empty for own in times):
        return False
    return bool(times[1].min() > times[0].max()) or all(own.max() <= own.min() * (1 + LEAST_SHARE) for own in times)


def why_limited(results: Results, a: str, b: str) -> str:
    """Return the one line below an answer: `why 2.0x and not 4.1x: 38 % of a step is not matrix products (…)`.

    Empty where there is no work by kind, or where matrix products and convolutions did not become faster.
    """
    found = waterfall(results, a, b)
    speedup = speedup_of(results, a, b)
    if found is None or speedup is None or found.title.endswith("phase"):
        return ""
    by_label = {bar.label: bar for bar in found.bars}
    products = by_label.get(PRODUCTS)
    if products is None or not products.b or products.a / products.b < max(LEAST_GAIN, LEAST_GAIN * speedup):
        return ""
    shares = {bar.label: bar.b / found.total_b for bar in found.bars if bar is not products}
    rest = 1 - products.b / found.total_b
    few = listed(shares, LEAST_SHARE)
    return (
        f"why {speedup:.1f}x and not {products.a / products.b:.1f}x: {percent(rest)} of a step is not matrix products"
        + (f" ({few})" if few else "")
    )


def _changes(found: Waterfall) -> str:
    """Return the kinds that changed by more than 5 % of A's step, the largest change first."""
    changed = [bar for bar in found.bars if abs(bar.change) >= LEAST_SHARE * found.total_a]
    ordered = sorted(changed, key=lambda bar: -abs(bar.change))
    return ", ".join(f"{bar.label} {bar.change:+,.3g} ms" for bar in ordered[:4]) or "no part changed by 5 %"
