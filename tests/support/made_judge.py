"""A judge by a plain rule, for tests of rounds and not of verdicts: what is as fast as fp32 is open for a while."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ampbench.bench.auto.question import Open, Subject
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import joined_rows
from ampbench.visualize.judge.verdict.looks import read_looks, write_looks

CLOSE = 0.1
ENOUGH = 4
"""Rounds after which nothing is open."""

Rows = list[dict[str, Any]]


def asked_made(folder: Folder, *, mixed: bool) -> tuple[Subject, ...]:
    """Return the one subject: open is a recipe within 10 % of fp32, up to its 4th round. The look is kept, too."""
    groups: dict[tuple[str, int], Rows] = defaultdict(list)
    for row in joined_rows(folder, ["cell_id", "precision", "batch_size", "round", "status", "images_per_s"]):
        groups[row["precision"], row["batch_size"]].append(row)
    found, looks = [], read_looks(folder.path)
    for (recipe, batch_size), rows in groups.items():
        reference = groups.get(("fp32", batch_size), [])
        if recipe == "fp32" or not all(row["status"] == "ok" for row in rows + reference) or not reference:
            continue
        looks = looks.and_these([(f"{recipe} at {batch_size}", len(rows))])
        is_close = abs(_mean(rows) / _mean(reference) - 1) < CLOSE
        if is_close and max(row["round"] for row in rows) + 1 < ENOUGH:
            found.append(Open(cells=_ids(rows), beside=_ids(reference)))
    write_looks(folder.path, looks)
    return (Subject(name="LeNet", words=f"{len(found)} open", open=tuple(found)),)


def _mean(rows: Rows) -> float:
    return sum(row["images_per_s"] for row in rows) / len(rows)


def _ids(rows: Rows) -> frozenset[str]:
    return frozenset(row["cell_id"] for row in rows)
