"""Whether a cell runs slower when other boards of its machine are at work: what was found, as a file of a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ampbench.schema.files import INTERFERENCE

Verdict = Literal["same", "slower", "faster", "can't tell"]
"""Of a cell beside its neighbours against the same cell alone. `same` lies within 1 % as a whole interval, `slower` and
`faster` lie beyond 1 % as a whole."""

LOOKS = (4, 6, 8, 12)
"""Numbers of rounds after which the verdict is looked at. The looks share its alpha, so that to look four times finds
nothing more often than to look once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interference:
    """What came of one check."""

    verdict: Verdict
    ratio: float
    """Speed beside the neighbours over speed alone: geometric mean over the rounds."""
    low: float | None
    """Lower end of its interval; None with fewer than two rounds."""
    high: float | None
    shown: str
    """Ratio and interval as a person reads them."""
    n: int
    """Rounds, each a pair of processes."""
    images_per_s_alone: float
    """Geometric mean."""
    cell: str
    """Which cell was timed, in words."""
    num_threads: int | None
    """Of each process, where the file sets them."""
    board: str
    """On which it was timed."""
    neighbours: tuple[str, ...]
    """Boards on which the same kind of cell was at work meanwhile."""
    machine: str
    environment_id: str
    measured_at: str
    """Of the verdict, in ISO 8601."""
    command: str
    """That checked it."""

    @property
    def is_exclusive_advised(self) -> bool:
        """Whether cells should run one at a time: it differs, or it is not known that it does not."""
        return self.verdict != "same"

    @property
    def words(self) -> str:
        """What was found, without a full stop."""
        num = len(self.neighbours)
        beside = f"beside {num} busy {'board' if num == 1 else 'boards'}"
        if self.verdict == "same":
            return f"{beside} a cell runs as fast as alone, within 1 %: {self.shown}, n = {self.n}"
        if self.verdict == "can't tell":
            return f"{beside} a cell may run slower than alone, which n = {self.n} cannot tell: {self.shown}"
        return f"{beside} a cell runs {self.verdict} than alone: {self.shown}, n = {self.n}"


ADVICE = "run it with --exclusive, one cell at a time on the whole machine"
"""Where `is_exclusive_advised`."""


def read_interference(folder: Path) -> tuple[Interference, ...]:
    """Return the checks that a folder of results holds; none if its file is missing or damaged."""
    try:
        return tuple(_from_json(row) for row in json.loads((folder / INTERFERENCE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return ()


def check_of(found: tuple[Interference, ...], environment_id: str, num_neighbours: int) -> Interference | None:
    """Return the check of a machine with so many neighbours, else one of that machine with another number of them."""
    own = [one for one in found if one.environment_id == environment_id]
    return min(own, key=lambda one: abs(len(one.neighbours) - num_neighbours), default=None)


def _from_json(row: dict[str, Any]) -> Interference:
    return Interference(**{**row, "neighbours": tuple(row["neighbours"])})
