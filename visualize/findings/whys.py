"""Why not faster, why not smaller, why NaN: the three explanations for two recipes of a folder of results."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
from collections.abc import Iterator, Sequence

from ampbench.visualize.findings.explanation import Explanation
from ampbench.visualize.findings.memory import explain_memory
from ampbench.visualize.findings.numbers import explain_numbers
from ampbench.visualize.findings.step_time import explain_step_time, why_limited, why_slower
from ampbench.visualize.judge.answer.answer import MOST_LINES, Answer, Line
from ampbench.visualize.judge.verdict.draft import reference_of
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

MOST_PLACES = 12
"""Subjects and batch sizes that a page explains; the command explains every one."""


def explain(results: Results, a: str, b: str) -> list[Explanation]:
    """Return the explanations of recipe B against A, for every subject and batch size that has both.

    Raises:
        ResultsError: a recipe is not in the results, or no subject and batch size has both.
    """
    for flag, recipe in (("--a", a), ("--b", b)):
        if recipe not in results.recipes:
            near = difflib.get_close_matches(recipe, results.recipes, n=1)
            move = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(results.recipes)}."
            raise ResultsError(f"{flag} {recipe}: no cell of {results.folder} has this recipe. {move}")
    if a == b:
        raise ResultsError(f"--a {a} --b {b}: a recipe is explained by another one; name two")
    found = [one for own in places(results) for one in _of_place(own, a, b)]
    if not found:
        states = "; ".join(f"{recipe}: {_states(results, recipe)}" for recipe in (a, b))
        raise ResultsError(
            f"{results.folder}: {a} and {b} have no batch size in common at which both were measured ({states}); run "
            "both at the same batch_size"
        )
    return found


def places(results: Results) -> Iterator[Results]:
    """Return the results of each subject and batch size."""
    for subject in results.subjects:
        of_subject = results.where(subject=subject)
        for batch_size in of_subject.batch_sizes:
            yield of_subject.where(batch_size=batch_size)


def _of_place(own: Results, a: str, b: str) -> list[Explanation]:
    status = {recipe: set(own.cells.loc[own.cells["recipe"] == recipe, "status"]) for recipe in (a, b)}
    if "ok" not in status[a]:
        return []
    if "ok" in status[b]:
        return [explain_step_time(own, a, b), explain_memory(own, a, b), explain_numbers(own, a, b)]
    return [explain_numbers(own, a, b)] if "diverged" in status[b] else []


def _states(results: Results, recipe: str) -> str:
    cells = results.cells[results.cells["recipe"] == recipe]
    return ", ".join(f"{row.status} at batch {row.batch_size}" for row in cells.drop_duplicates(
        ["batch_size", "status"]).itertuples())  # fmt: skip


def explain_contenders(results: Results, a: str = "", b: str = "") -> list[Explanation]:
    """Explain, at every subject and batch size, the fastest recipe by the reference; either may be given.

    Raises:
        ResultsError: a recipe that is given is not in the results, or there is nothing to explain.
    """
    found = []
    for own in places(results):
        pair = contender(own)
        first, second = a or (pair[0] if pair else ""), b or (pair[1] if pair else "")
        if first in own.recipes and second in own.recipes and first != second:
            found += _of_place(own, first, second)
    if not found and a and b:
        return explain(results, a, b)  # which says why there is nothing
    if not found:
        raise ResultsError(
            f"{results.folder}: no batch size has two recipes that ran to their end, or not the named one; name two by "
            f"--a and --b, of {', '.join(results.recipes)}"
        )
    return found


def contender(results: Results) -> tuple[str, str] | None:
    """Return the reference and the fastest other recipe of one subject and batch size; None if there is no other."""
    ok, a = results.ok, reference_of(results.ok)
    if "step_ms" not in ok:
        return None
    times = ok.groupby(ok["recipe"].astype(str))["step_ms"].median().dropna()
    others = times.drop(a, errors="ignore")
    return (a, str(others.idxmin())) if a in times and len(others) else None


def fastest_place(results: Results) -> Results | None:
    """Return one subject's results at the batch size of its fastest recipe but the reference; None if there is none."""
    ok = results.ok
    others = ok[ok["recipe"].astype(str) != reference_of(ok)]
    speeds = others.groupby([others["batch_size"], others["recipe"].astype(str)])["images_per_s"].median().dropna()
    return results.where(batch_size=speeds.idxmax()[0]) if len(speeds) else None


def of_page(results: Results) -> list[Explanation]:
    """Return the explanations of the page, of the first `MOST_PLACES` places: the fastest recipe, and what diverged."""
    found = []
    for own in itertools.islice(places(results), MOST_PLACES):
        pair = contender(own)
        if pair:
            found += _of_place(own, *pair)
        if a := reference_of(own.ok):
            lost = in_order(own.cells.loc[own.cells["status"] == "diverged", "recipe"])
            found += [explain_numbers(own, a, b) for b in lost if b != a and (pair is None or b != pair[1])]
    return found


def why_line(results: Results, answer: Answer) -> str:
    """Return the line below an answer that says why the recipe is not faster; empty where that is not known.

    As in `why 2.0x and not 4.1x: 38 % of a step is not matrix products (normalisation 22 %, optimizer 9 %)`; for an
    answer that stays with the reference, why the fastest other recipe is no faster.
    """
    of_subject = results.where(subject=answer.subject)
    sizes = of_subject.batch_sizes if answer.batch_size is None else [answer.batch_size]
    for own in (of_subject.where(batch_size=size) for size in sizes):
        if pair := contender(own):
            a, b = pair
            if answer.action == "train" and answer.recipe != a and answer.recipe in own.recipes:
                return why_limited(own, a, answer.recipe)
            if answer.action == "stay":
                return why_slower(own, a, b)
    return ""


def with_whys(results: Results, advice: Sequence[Answer]) -> list[Answer]:
    """Return the answers, each with a line that says why its recipe is not faster, where that is known and has room."""
    found = []
    for one in advice:
        line = why_line(results, one) if len(one.lines) < MOST_LINES else ""
        own = [Line(topic="why", text=line)] if line else []
        first = [other for other in one.lines if other.topic != "also"]
        found.append(dataclasses.replace(one, lines=(*first, *own, *one.lines[len(first) :])) if own else one)
    return found
