"""After how many adaptive rounds a subject was decided, and what was not run because of that."""

from __future__ import annotations

import math

import pandas as pd

from ampbench.schema.rounds import LOOKS
from ampbench.visualize.judge.answer.undecided import open_of
from ampbench.visualize.judge.decision.contender import Contender
from ampbench.visualize.judge.decision.decision import Decision
from ampbench.visualize.judge.phrases import time_words
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.words import count
from ampbench.visualize.stats.statistics import interval

TIMING = ["recipe", "batch_size", "seed"]
"""Columns in which the rounds of one timing are equal."""


def rounds_line(results: Results, decision: Decision) -> str:
    """Return a line on the rounds of one subject; empty where their number was fixed, or nothing was timed.

    Args:
        results: of one subject.
        decision: on it.
    """
    cells = results.cells
    timed = cells[(cells["epochs"] == 0) & (cells["status"] != "excluded")]
    if not results.plan.is_adaptive or timed.empty or decision.base is None:
        return ""
    rounds = timed.groupby(TIMING, observed=True).size()
    most, going = int(rounds.max()), open_of(decision)
    ran = f"{count(len(timed), 'timing', 'timings')}{_in(_seconds(timed))}"
    if not going:
        return f"rounds: decided after {most} of at most {LOOKS[-1]}, by {ran}{_saved(timed, rounds)}"
    one = going[0]
    said = f"{one.recipe} is still open, at {one.speed.estimate:.2f}x {interval(one.speed.low, one.speed.high)}"
    if most < LOOKS[-1]:
        return f"rounds: after {most} of at most {LOOKS[-1]} {said}; the same command goes on"
    return f"rounds: after {most}, by {ran}, {said}{_more(one, timed)}"


def _saved(timed: pd.DataFrame, rounds: pd.Series) -> str:
    """Say what the rounds that were not run would have taken, at the time that each timing took."""
    num = int((LOOKS[-1] - rounds).sum())
    if not num:
        return ""
    took = timed.groupby(TIMING, observed=True)["cell_s"].mean() if "cell_s" in timed else pd.Series(dtype=float)
    seconds = float(((LOOKS[-1] - rounds) * took).sum()) if len(took) else 0.0
    about = f" (about {time_words(seconds)})" if seconds else ""
    return f"; saved against {LOOKS[-1]} rounds of all: {count(num, 'timing', 'timings')}{about}"


def _more(one: Contender, timed: pd.DataFrame) -> str:
    """Say how many further rounds would tell; a round has a pair for each seed."""
    if one.speed.more is None:
        return "; no affordable number of rounds would tell"
    rounds = math.ceil(one.speed.more / max(int(timed["seed"].nunique()), 1))
    return f"; about {count(rounds, 'more round', 'more rounds')} would tell"


def _seconds(timed: pd.DataFrame) -> float:
    return float(timed["cell_s"].sum()) if "cell_s" in timed else 0.0


def _in(seconds: float) -> str:
    return f" in {time_words(seconds)}" if seconds else ""
