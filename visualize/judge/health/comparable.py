"""What spoils a comparison of sound numbers: unpaired runs, their order in time, other boards, two commits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ampbench.visualize.judge.concern import ACCURACY, SPEED, Claim, Concern, known
from ampbench.visualize.judge.runs.pairs import SAME_CELL
from ampbench.visualize.judge.runs.slow_boards import places_of
from ampbench.visualize.judge.verdict.verdict import Verdict

DRIFT = 1.4
"""Ratio of speeds up to which a machine that became faster or slower meanwhile explains a gain: on a shared machine of
2 cores, equal recipes that ran one after the other came out 0.73 to 1.14 times as fast, and 1 / 0.73 is 1.37."""
OF_ONE_PRODUCT = 1.22
"""Ratio of speeds up to which two GPUs of one product explain a gain: they differed by 8 % on average and by 22 % at
most in five clusters (Sinha et al., 2022, "Not All GPUs Are Created Equal", abstract)."""
FEWEST = 2
"""Runs of either recipe from which their order says something; one pair tells nothing anyway."""
HASH = 7
"""Characters of a commit."""


def concerns_of_pairs(ok: pd.DataFrame, theirs: pd.DataFrame, verdict: Verdict | None) -> Iterator[Concern]:
    """Yield what a reader must know of the comparison of a recipe with the reference.

    Args:
        ok: cells of the recipe that ran to their end.
        theirs: those of the reference; none for the reference itself.
        verdict: on the recipe.
    """
    if verdict and verdict.unpaired:
        differs = bool(verdict.unpaired.differs)
        spoils: frozenset[Claim] = SPEED | ACCURACY if differs else frozenset()
        yield Concern(
            text=str(verdict.unpaired), spoils=spoils, next_move="run every seed in both recipes" if differs else ""
        )
    if verdict and (when := _one_after_the_other(ok, theirs)):
        small = _is_small(verdict, DRIFT)
        said = ", so a machine that changed meanwhile may explain the difference" if small else ""
        yield Concern(
            text=f"every run came {when} all of {verdict.reference}{said}",
            spoils=SPEED if small else frozenset(),
            next_move="run both from one file, which takes turns" if small else "",
        )
    elif verdict and verdict.speed.verdict in ("faster", "slower") and _drift_explains(ok, theirs):
        yield Concern(
            text="the machine changed from run to run, in an order that explains the difference",
            spoils=SPEED,
            next_move="run it again, on a machine that is left alone",
        )
    if verdict and (share := _share_on_other_boards(ok, theirs)):
        small = _is_small(verdict, OF_ONE_PRODUCT**share)
        said = ", and two boards of one product may differ as much" if small else ""
        which = "no run was on a board" if share == 1 else f"{100 * share:.0f} % of the runs were not on the board"
        yield Concern(
            text=f"{which} of {verdict.reference}{said}",
            spoils=SPEED if small else frozenset(),
            next_move="run both on the same boards" if small else "",
        )
    commits = list(dict.fromkeys([*_commits(theirs), *_commits(ok)]))
    if len(commits) > 1:
        yield Concern(text=f"measured by {len(commits)} states of ampbench ({', '.join(commits)})")


def _drift_explains(ok: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Whether a difference of speeds is gone by half beside a drift that both recipes share.

    log(speed) = one level for each board and recipe + one slope over the time of the start (analysis of covariance):
    where a recipe always follows the other, a machine that warms up favours it; where they rotate, nothing changes.
    """
    known_of = [cells[(cells["images_per_s"] > 0) & cells["started_at"].notna()] for cells in (theirs, ok)
                if "started_at" in cells]  # fmt: skip
    if len(known_of) < 2 or min(map(len, known_of)) < FEWEST:
        return False
    both = pd.concat(known_of)
    started = pd.to_datetime(both["started_at"], utc=True)
    hours = (started - started.min()).dt.total_seconds().to_numpy() / 3600
    is_recipe = np.repeat([0.0, 1.0], [len(cells) for cells in known_of])
    logs = np.log(both["images_per_s"].to_numpy(dtype=float))
    # Each board has a level, and each host a clock, of its own: only what changes on one board is a drift.
    boards = pd.factorize(places_of(both))[0]
    hours, is_recipe, logs = (_centred(values, boards) for values in (hours, is_recipe, logs))
    if not np.ptp(hours) or not np.ptp(is_recipe):
        return False
    raw = np.linalg.lstsq(is_recipe[:, None], logs)[0][0]
    beside = np.linalg.lstsq(np.column_stack([is_recipe, hours]), logs)[0][0]
    return bool(beside * np.sign(raw) < abs(raw) / 2)


def _centred(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return values less the mean of their group."""
    means: np.ndarray = np.bincount(groups, values) / np.bincount(groups)
    return np.asarray(values - means[groups])


def _is_small(verdict: Verdict, most: float) -> bool:
    """Whether a difference of speeds is one that something else of up to `most` may explain."""
    return verdict.speed.n > 0 and 1 / most < verdict.speed.estimate < most


def _share_on_other_boards(ok: pd.DataFrame, theirs: pd.DataFrame) -> float:
    """Return the share of pairs whose runs were on two boards or hosts; of runs without a pair, whether all were.

    The mean over pairs is off by this share of what two boards differ.
    """
    if not all(len(cells) and len(known(cells, "board")) == len(cells) for cells in (ok, theirs)):
        return 0.0
    places = places_of(pd.concat([ok, theirs])).tolist()
    if len(set(places)) == 1:
        return 0.0
    own, others = ok.assign(place=places[: len(ok)]), theirs.assign(place=places[len(ok) :])
    same = [name for name in SAME_CELL if name in ok and name in theirs]
    pairs = own.merge(others, on=same, suffixes=("", "_theirs")) if same else own[:0]
    if pairs.empty:
        return float(not set(own["place"]) & set(others["place"]))
    return float((pairs["place"] != pairs["place_theirs"]).mean())


def _one_after_the_other(ok: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """Return whether all of the recipe's runs came `after` or `before` the reference's; empty if they took turns."""
    if min(len(ok), len(theirs)) < FEWEST:
        return ""
    for name in ("started_at", "order"):  # the order is that of the plan; older records have nothing better
        own, others = known(ok, name), known(theirs, name)
        if len(own) == len(ok) and len(others) == len(theirs):
            return "after" if own.min() > others.max() else "before" if own.max() < others.min() else ""
    return ""


def _commits(cells: pd.DataFrame) -> list[str]:
    """Return the commits by which cells were measured, in short, and whether there were changes beside them."""
    dirty = cells["git_dirty"].eq(True) if "git_dirty" in cells else pd.Series(False, cells.index)
    return [
        f"{commit[:HASH]}{' with uncommitted changes' if dirty[i] else ''}"
        for i, commit in known(cells, "git_commit").astype(str).items()
    ]
