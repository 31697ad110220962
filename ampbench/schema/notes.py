"""What failed beside the measurement."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class Notes:
    """One note for each kind of failure; null if nothing failed."""

    passes_failed: str | None = column(
        "",
        "passes that failed",
        "Parts beside the measurement, such as a sample of the layers, that failed, each with its reason; null if none",
    )
    checkpoint_note: str | None = column(
        "",
        "checkpoint not written",
        "The first checkpoint that could not be written, with the reason, such as a full disk; null if there is none",
    )
    weights_note: str | None = column("", "weights not written", "The same, of best.pt and model_final.pt")
