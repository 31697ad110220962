"""The verdicts on a folder by their places: a figure of a part of it says what the table of the whole says."""

from __future__ import annotations

from ampbench.visualize.judge.verdict.verdict import Verdict, verdicts_of
from ampbench.visualize.read.frame import Results

Judged = dict[tuple[str, int, str], Verdict]


def judged(results: Results) -> Judged:
    """Return (subject, batch size, recipe) -> verdict of everything that was read, whatever part the results are.

    A reference and a recipe without a comparison have none. The family of comparisons that a verdict answers for is
    the folder's, not the panel's.
    """
    return {(v.subject, v.batch_size, v.recipe): v for v in verdicts_of(results)}
