"""What did not work beside the measurement."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class Notes:
    """A note each; null if nothing went wrong."""

    passes_failed: str | None = column(
        "",
        "passes that failed",
        "What is not the measurement, as a look at the layers, and did not work, each with its reason; null if all did",
    )
    checkpoint_note: str | None = column(
        "",
        "checkpoint not written",
        "When a checkpoint could not be written first, where and why, as on a full disk; null if all could",
    )
    weights_note: str | None = column("", "weights not written", "Likewise of best.pt and model_final.pt")
