"""The work of a step in words: what it waits for, its parts by kind, its share of the board's peak."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from ampbench.visualize.findings.work import PARTS
from ampbench.visualize.show.learning import WordTable
from ampbench.visualize.show.table import MISSING

KIND_HEADS = dict(
    zip(
        PARTS,
        ("matmul %", "norm %", "element %", "cast %", "copy %", "update %", "data %", "other %", "idle %"),
        strict=True,
    )
)
"""Column of a kind of work -> its head, where it is shown as a share of the step."""

LEGEND = {
    "bound by": "bound by: what a step waits for most",
    "kernels %": "kernels %: share of a step in which the GPU computes",
    "products %": "products %: matrix products and convolutions, of the time in kernels (operators on a CPU)",
    "matmul %": "matmul % to idle %: the step by kind of work: matrix products and convolutions, normalisation, "
    "element-wise, casts, copies, optimizer and scaler, data, other, idle",
    "of peak %": "of peak %: operations a second, of the most that one large product reached on this board",
    "of vendor %": "of vendor %: the same, of the vendor's peak",
    "lost blocks": "lost blocks: timing samples that do not count because the board slowed down",
}
"""Head -> what it means, in the order of the columns."""


def tables(rows: pd.DataFrame) -> list[WordTable]:
    """Return a table per subject from `findings.work.rows_of`."""
    found = []
    for subject, own in rows.groupby("subject", sort=False):
        lines = [_line(row) for _, row in own.iterrows()]
        kept = [head for head in lines[0] if any(line[head] != MISSING for line in lines)]
        title = f"Work of a step: {subject}"
        if own["batch_size"].nunique() == 1:
            title += f", batch {own['batch_size'].iloc[0]}"
            kept.remove("batch")
        found.append(WordTable(title, kept, lines))
    return found


def legend(found: list[WordTable]) -> str:
    """Return what the columns mean that are shown."""
    heads = {head for one in found for head in one.heads}
    words = "; ".join(words for head, words in LEGEND.items() if head in heads)
    return f"{words[:1].upper()}{words[1:]}."


def _line(row: pd.Series) -> dict[str, str]:
    percent: Callable[[float], str] = "{:.0f}".format
    step_ms = row["step_ms"] if row["step_ms"] > 0 else math.nan
    by_kind = {head: _shown(100 * row[part] / step_ms, percent) for part, head in KIND_HEADS.items()}
    known = any(words != MISSING for words in by_kind.values())
    lost = row["num_invalid_blocks"]
    return {
        "batch": f"{row['batch_size']}",
        "precision": str(row["recipe"]),
        "step ms": _shown(row["step_ms"], _three_digits),
        "bound by": row["bound"] if isinstance(row["bound"], str) else MISSING,
        **by_kind,
        "products %": MISSING if known else _shown(100 * row["matmul_conv_share"], percent),
        "kernels %": MISSING if known else _shown(100 * row["kernel_ms"] / step_ms, percent),
        "TFLOP/s": _shown(row["tflops"], _three_digits),
        "of peak %": _shown(100 * row["mfu_measured"], "{:.1f}".format),
        "of vendor %": _shown(100 * row["mfu_vendor"], "{:.1f}".format),
        "lost blocks": MISSING if not lost or pd.isna(lost) else f"{lost:.0f}",
    }


def _shown(value: float, form: Callable[[float], str]) -> str:
    return MISSING if pd.isna(value) else form(value)


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
