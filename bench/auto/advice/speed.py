"""The stage `speed`: rounds of timing, until the faster recipes are told from the others."""

from __future__ import annotations

from typing import Any

from ampbench.bench.auto.advice.session import Part, Session
from ampbench.schema.toml_values import text_of_tables

LEAST_S = 20.0
"""Of the time that is left: two rounds of two recipes of a small network."""
MOST_TIMING_S, LEAST_TIMING_S = 8.0, 0.5
"""Of one cell. A process's own noise is not what a comparison rests on: rather more rounds than longer ones."""
ROUNDS_EXPECTED = 4
"""Until most comparisons are decided."""


def speed(session: Session, recipes: tuple[str, ...]) -> Part | None:
    """Time the recipes at the batch size that was chosen; None where the time does not allow it.

    Args:
        session: the advice.
        recipes: to compare, the reference first.
    """
    left_s = session.clock.left_s
    if not session.has_begun("speed") and left_s < LEAST_S:
        session.skip("speed", f"{left_s:.0f} s are left, too few for two rounds of timing; give more --minutes")
        return None
    share_s = 0.5 * left_s
    return session.experiment("speed", lambda: _text(session, recipes, share_s=share_s), share_s=share_s)


def _text(session: Session, recipes: tuple[str, ...], *, share_s: float) -> str:
    """Return the experiment file.

    Args:
        session: the advice.
        recipes: to compare.
        share_s: seconds that the stage may take.
    """
    subject = session.subject
    per_cell_s = share_s / (len(recipes) * ROUNDS_EXPECTED)
    timing_s = min(MOST_TIMING_S, max(LEAST_TIMING_S, per_cell_s / 3))
    measure: dict[str, Any] = {
        "rounds": "adaptive",
        "target_ci": 0.01,
        "max_timing_s": round(timing_s, 1),
        "max_warmup_s": round(timing_s, 1),
        "passes": ["phases"],
    }
    # A recipe many times slower than the others ends as `timeout`, which is an answer too.
    budget = {"minutes_per_cell": round(max(0.5, share_s / 60 / 2), 2), "gpu_hours": round(share_s / 3600, 4)}
    return text_of_tables(
        f"Which precision trains {subject['model']} fastest at batch {subject['batch_size']} on this machine?",
        {
            "matrix": {"precision": list(recipes)},
            "fixed": {**subject, "epochs": 0},
            "measure": measure,
            "budget": budget,
        },
        comments=["Written by `advise`; it can be run again by hand: run_matrix.py FILE --results FOLDER"],
    )
