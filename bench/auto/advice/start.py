"""The stage `start`: short paired trainings of the recipes that may win, and samples of their layers' numbers."""

from __future__ import annotations

import math
from typing import Any

from ampbench.bench.auto.advice.session import Part, Session
from ampbench.bench.auto.standings import Standing
from ampbench.schema.start import START_STEPS
from ampbench.schema.toml_values import text_of_tables

LEAST_STEPS = 60
"""A shorter start tells nothing; visualize/stats/start.py has the limit of what is read."""
SEEDS = ((1, 2, 3), (1, 2))
"""Three where the time allows it, else two, which have a spread at least. Seed 0 is that of the stage `speed`."""
OVERHEAD_S = 8.0
"""Of a cell beside its steps: its process, the images, warm-up, the samples of its layers and the passes."""
MOST_CONTENDERS = 3
"""The fastest of those that may win; each further one would shorten the starts of all."""


def start(session: Session, timed: Part) -> Part | None:
    """Train the reference and the recipes that may win for some hundred steps; None where there are none, or no time.

    Args:
        session: the advice.
        timed: the stage `speed`.
    """
    reference = timed.reference
    winners = sorted((one for one in timed.standings if one.may_win), key=lambda one: -(one.images_per_s or 0.0))
    if reference is None:
        session.skip("start", "no recipe ran to its end")
        return None
    if not winners:
        session.skip("start", f"no recipe was seen to be faster than {reference.recipe}, so none has to be vouched for")
        return None
    compared = [reference, *winners[:MOST_CONTENDERS]]
    if session.has_begun("start"):
        return session.experiment("start", str, share_s=session.clock.left_s)
    seeds, num_steps = affordable(compared, left_s=session.clock.left_s)
    if num_steps < LEAST_STEPS:
        session.skip(
            "start",
            f"{session.clock.left_s:.0f} s are left, enough for {num_steps} steps of {len(compared)} recipes in "
            f"{len(seeds)} seeds, and fewer than {LEAST_STEPS} tell nothing; give more --minutes",
        )
        return None
    return session.experiment("start", lambda: _text(session, compared, seeds, num_steps), share_s=session.clock.left_s)


def affordable(compared: list[Standing], *, left_s: float) -> tuple[tuple[int, ...], int]:
    """Return the seeds and the steps of each training that fit into the time that is left.

    Args:
        compared: recipes with their measured speed.
        left_s: seconds.
    """
    step_s = sum(one.batch_size / one.images_per_s for one in compared if one.images_per_s)
    for seeds in SEEDS:
        per_seed_s = left_s / len(seeds) - OVERHEAD_S * len(compared)
        num_steps = math.floor(per_seed_s / step_s) if step_s else 0
        if num_steps >= LEAST_STEPS:
            break
    return seeds, max(0, min(num_steps, START_STEPS))


def _text(session: Session, compared: list[Standing], seeds: tuple[int, ...], num_steps: int) -> str:
    subject = session.subject
    return text_of_tables(
        f"Does a training of {subject['model']} start as well in 16 bits as in {compared[0].recipe}?",
        {
            "matrix": {"seed": list(seeds), "precision": [one.recipe for one in compared]},
            "fixed": {**subject, "epochs": 0},
            "measure": measure_of(num_steps),
            "budget": {"gpu_hours": round(max(1.0, session.clock.left_s) / 3600, 4)},
        },
        comments=["Written by `advise`; it can be run again by hand: run_matrix.py FILE --results FOLDER"],
    )


def measure_of(num_steps: int) -> dict[str, Any]:
    """Return `[measure]` of a start: its steps, two samples of every layer, and where memory goes."""
    return {
        "start_steps": num_steps,
        "numerics_samples": 2,
        "target_ci": 0.01,
        "max_timing_s": 2.0,
        "max_warmup_s": 2.0,
        "passes": ["phases", "memory"],
    }
