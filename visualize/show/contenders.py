"""The rows of a summary that a person reads first, where it has more rows than a screen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ampbench.visualize.judge.answer.answer import Answer
from ampbench.visualize.judge.decision.standing import Standing

MOST = 24
"""Rows of a table that a screen takes."""


def contenders(rows: Sequence[Standing], advice: Sequence[Answer], most: int = MOST) -> list[Standing]:
    """Return at most about `most` rows in their order: what is advised, the others at its batch size, then the fastest.

    Every subject gets its share, as long as there are `most / 2` subjects at most; the others are left out.
    """
    if len(rows) <= most:
        return list(rows)
    advised = {answer.subject: (answer.recipe, answer.batch_size) for answer in advice}
    subjects = list(dict.fromkeys(row.subject for row in rows))[: most // 2]
    share = max(2, most // len(subjects))
    kept: set[int] = set()
    for subject in subjects:
        own = [row for row in rows if row.subject == subject]
        recipe, batch_size = advised.get(subject, ("", None))
        own.sort(key=lambda row: (_rank(row, recipe, batch_size), -(row.measured.images_per_s or -math.inf)))
        kept.update(id(row) for row in own[:share])
    return [row for row in rows if id(row) in kept]


def _rank(row: Standing, recipe: str, batch_size: int | None) -> int:
    if row.batch_size == batch_size:
        return 0 if row.recipe == recipe else 1 if row.is_reference else 2
    return 3 if row.speed == "faster" else 4 if row.measured.n else 5
