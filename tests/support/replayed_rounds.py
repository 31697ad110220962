"""What adaptive rounds would have taken in a folder that was measured with a fixed number of rounds.

`python -m tests.support.replayed_rounds results/rounds_12 20` replays them over 20 random orders of its rounds: the
looks, as the judge takes them, and the fixed number of rounds after which nothing is open; both in seconds of cells.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ampbench.schema.rounds import LOOKS, next_look
from ampbench.visualize.judge.answer.undecided import undecided
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.looks import Looks
from ampbench.visualize.judge.verdict.verdict import judge
from ampbench.visualize.read.frame import Results, read


def going(results: Results, rounds: Mapping[str, int], looks: Looks) -> tuple[set[str], Looks]:
    """Return the recipes that go on after so many rounds of each, and the looks with this one."""
    cells = results.whole
    part = cells[cells["round"] < cells["recipe"].astype(str).map(rounds)]
    there = dataclasses.replace(results, cells=part, whole=part, judged={})
    verdicts = judge(part, looks=looks)
    found = undecided(there, standings(there, verdicts))
    ids = set[str]().union(*(group for one in found for group in (*one.contenders, *one.references)))
    return set(part.loc[part["cell_id"].isin(ids), "recipe"]), looks.and_these(v.look for v in verdicts)


def replay(results: Results, *, most: int) -> tuple[dict[str, int], int]:
    """Return recipe -> rounds that it has with adaptive rounds, and the fixed number that leaves nothing open.

    Args:
        results: of one subject and batch size, with `most` rounds of each recipe.
        most: beyond which no round is replayed.
    """
    rounds, looks = dict.fromkeys(results.recipes, LOOKS[0]), Looks(are_planned=True)
    while True:
        further, looks = going(results, rounds, looks)
        wanted = {name: look for name in further if (look := next_look(rounds[name])) and look <= most}
        if not wanted:
            break
        rounds |= dict.fromkeys(wanted, max(wanted.values()))
    for n in range(LOOKS[0], most):
        if not going(results, dict.fromkeys(results.recipes, n), Looks())[0]:
            return rounds, n
    return rounds, most


def shuffled(results: Results, rng: np.random.Generator) -> Results:
    """Return the same cells with their rounds in another order, the same for all recipes."""
    cells = results.whole
    order = rng.permutation(int(cells["round"].max()) + 1)
    mixed = cells.assign(round=order[cells["round"].to_numpy()])
    return dataclasses.replace(results, cells=mixed, whole=mixed, judged={})


def seconds(cells: pd.DataFrame, rounds: Mapping[str, int]) -> float:
    """Return how long so many rounds of each recipe took."""
    return float(cells.loc[cells["round"] < cells["recipe"].astype(str).map(rounds), "cell_s"].sum())


def main(folder: Path, num_orders: int) -> None:
    """Print a line for each order, and the geometric mean of the ratios."""
    results, rng, logs = read(folder), np.random.default_rng(0), []
    most = int(results.whole["round"].max()) + 1
    for k in range(num_orders):
        mixed = shuffled(results, rng) if k else results
        rounds, fixed = replay(mixed, most=most)
        adaptive_s = seconds(mixed.whole, rounds)
        fixed_s = seconds(mixed.whole, dict.fromkeys(results.recipes, fixed))
        logs.append(math.log(adaptive_s / fixed_s))
        print(
            f"{rounds}: {adaptive_s:.0f} s; {fixed} fixed rounds: {fixed_s:.0f} s; {adaptive_s / fixed_s:.2f}",
            flush=True,
        )
    spread = np.std(logs, ddof=1) if len(logs) > 1 else math.nan
    print(
        f"adaptive / fixed, over {num_orders} orders: {math.exp(np.mean(logs)):.2f} (spread of the logs {spread:.2f})"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20)
