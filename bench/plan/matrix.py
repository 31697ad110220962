"""From an experiment to cells in the order they run.

A cell is `[fixed]` plus one point of every axis. The first axis varies slowest. Cells that differ only
in precision form a group; a group runs contiguously, so that what is compared runs under the same conditions,
and its recipes rotate by seed and round, so that none is always the first, on a board that is still cold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ampbench.bench.plan.batch_words import BATCH_WORDS, BatchWord, any_size, batch_key, in_numbers, word_of
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError, did_you_mean
from ampbench.bench.plan.experiment import Experiment
from ampbench.bench.plan.field_check import FIELDS
from ampbench.bench.plan.refusals import why_refused, why_too_many, why_twice


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run, in order, and what is not, with the reason."""

    experiment: Experiment
    cells: tuple[Cell, ...]
    """In order of execution."""
    excluded: tuple[tuple[Cell, str], ...]
    """Cells that `[[exclude]]` dropped, and why."""

    @property
    def groups(self) -> tuple[tuple[Cell, ...], ...]:
        """The cells by group, in order of execution; a group is what one board runs from end to end."""
        return tuple(_grouped(self.cells).values())


def make_plan(experiment: Experiment) -> Plan:
    """Expand the matrix.

    Raises:
        RequestError: a cell is refused or stands there twice, an `[[exclude]]` matches nothing, or there are more
            cells than a plan may hold.
    """
    if experiment.search:
        raise RequestError(f"{experiment.path}, [search]: has no list of cells; run it with bench/run_matrix.py")
    _refuse(why_too_many(math.prod(len(points) for points in experiment.matrix.values())), experiment)
    cells: list[Cell] = []
    excluded: list[tuple[Cell, str]] = []
    unused = set(range(len(experiment.exclude)))
    taken: set[str] = set()
    for fields in _product(experiment):
        left_out = _left_out(fields, experiment)
        if left_out is not None:
            unused.discard(left_out)
            excluded.append((any_size(fields), experiment.exclude[left_out][1]))
            continue
        cell, why_none = in_numbers(fields, experiment.batch_sizes)
        if word_of(fields) and cell.cell_id in taken:
            continue  # two words, or a word and a number, came to the same
        taken.add(cell.cell_id)
        matches = [i for i, (conditions, _) in enumerate(experiment.exclude) if _matches(cell, conditions)]
        unused -= set(matches)
        if matches:
            excluded.append((cell, experiment.exclude[matches[0]][1]))
        elif why_none:
            excluded.append((cell, why_none))
        else:
            cells.append(_accepted(cell, experiment, "[matrix]"))
    for i in sorted(unused):
        conditions = _words(experiment.exclude[i][0])
        raise RequestError(f"{experiment.path}, [[exclude]] {i + 1}: {conditions} matches no cell; mend or drop it")
    ids = {cell.cell_id for cell in cells} if experiment.include else set()
    for i, fields in enumerate(experiment.include, 1):
        added, why_none = in_numbers({**experiment.fixed, **_first_point(experiment), **fields}, experiment.batch_sizes)
        if why_none:
            excluded.append((added, why_none))
            continue
        added = _accepted(added, experiment, f"[[include]] {i}")
        if added.cell_id in ids:
            raise RequestError(f"{experiment.path}, [[include]] {i}: {added} is in the matrix already; drop it")
        cells.append(added)
        ids.add(added.cell_id)
    if not cells:
        raise RequestError(f"{experiment.path}, [[exclude]]: every cell is excluded; keep at least one")
    kept = {cell.cell_id for cell in cells}  # a block excluded, and one cell of it included again
    excluded = [(cell, because) for cell, because in excluded if cell.cell_id not in kept]
    protocol = experiment.protocol
    _refuse(why_too_many(sum(_rounds(cell, protocol.most_rounds) for cell in cells)), experiment)
    first = protocol.first_rounds
    cells = [replace(cell, round=r) if r else cell for cell in cells for r in range(_rounds(cell, first))]
    _refuse(why_twice(cells), experiment)
    ordered = itertools.chain.from_iterable(rotated(group) for group in _grouped(cells).values())
    return Plan(experiment=experiment, cells=tuple(ordered), excluded=tuple(excluded))


def narrow(plan: Plan, *, only: Sequence[str] = (), shard: tuple[int, int] = (0, 1)) -> tuple[Cell, ...]:
    """Return the cells that match every `key=value[,value…]` of `only`, and the i-th of n shards of whole groups.

    Raises:
        RequestError: a condition that is no `key=value`, an unknown key, or one that matches no cell.
    """
    index, count = shard
    cells = [cell for group in plan.groups[index::count] for cell in group]
    for condition in only:
        key, equals, values = condition.partition("=")
        if not equals or not values:
            raise RequestError(f"--only {condition}: write key=value, as in --only precision=bf16_amp,fp32")
        if key not in (*FIELDS, "round"):
            raise RequestError(f"--only {condition}: unknown key {key!r}. {did_you_mean(key, FIELDS)}")
        present = dict.fromkeys(_text(cell.setting(key)) for cell in plan.cells)
        wanted = {values} if values in present else set(values.split(","))
        if not wanted & present.keys():
            raise RequestError(f"--only {condition}: no cell has it; {key} takes {', '.join(present)} in this plan")
        cells = [cell for cell in cells if _text(cell.setting(key)) in wanted]
    if not cells and only and count == 1:
        raise RequestError(
            f"{' '.join(f'--only {condition}' for condition in only)}: no cell has all of this; drop one"
        )
    return tuple(cells)


def words_of(experiment: Experiment) -> dict[tuple[BatchWord, str], Cell]:
    """Return the words among the batch sizes, each with a cell of every kind that it stands in, at no size yet."""
    found: dict[tuple[BatchWord, str], Cell] = {}
    points = itertools.chain.from_iterable(experiment.matrix.values())
    if not any(table.get("batch_size") in BATCH_WORDS for table in (experiment.fixed, *points, *experiment.include)):
        return found
    added = ({**experiment.fixed, **_first_point(experiment), **fields} for fields in experiment.include)
    for fields in itertools.chain(_product(experiment), added):
        word = word_of(fields)
        if word and _left_out(fields, experiment) is None:
            found.setdefault((word, batch_key(any_size(fields))), any_size(fields))
    return found


def _left_out(fields: dict[str, Any], experiment: Experiment) -> int | None:
    """Return the first exclusion that matches a cell with a word for its batch size, whatever its number will be."""
    if not word_of(fields):
        return None
    exclusions = enumerate(conditions for conditions, _ in experiment.exclude)
    fit = (i for i, one in exclusions if "batch_size" not in one and _matches(any_size(fields), one))
    return next(fit, None)


def _product(experiment: Experiment) -> Iterator[dict[str, Any]]:
    """Yield the fields of every cell of the matrix."""
    for points in itertools.product(*experiment.matrix.values()):
        yield {**experiment.fixed, **{key: value for point in points for key, value in point.items()}}


def _accepted(cell: Cell, experiment: Experiment, place: str) -> Cell:
    if because := why_refused(cell):
        raise RequestError(f"{experiment.path}, {place} {because}")
    return cell


def _first_point(experiment: Experiment) -> dict[str, Any]:
    """An included cell that leaves an axis out takes the axis's first value."""
    return {key: value for points in experiment.matrix.values() for key, value in points[0].items()}


def _matches(cell: Cell, conditions: dict[str, list[Any]]) -> bool:
    fields = {key: cell.resolved_loss_scale if key == "loss_scale" else getattr(cell, key) for key in conditions}
    return all(fields[key] in values for key, values in conditions.items())


def _rounds(cell: Cell, of_a_timing: int) -> int:
    """A training is repeated by seeds; only a timing has rounds."""
    return of_a_timing if cell.epochs == 0 else 1


def _refuse(because: str | None, experiment: Experiment) -> None:
    if because:
        raise RequestError(f"{experiment.path}, [matrix]: {because}")


def _grouped(cells: Iterable[Cell]) -> dict[str, tuple[Cell, ...]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group_id, []).append(cell)
    return {key: tuple(group) for key, group in groups.items()}


def rotated(group: Sequence[Cell]) -> Iterator[Cell]:
    """Yield round by round; the recipe that opens a round moves on by one with each round and seed."""
    for number in sorted({cell.round for cell in group}):
        cells = [cell for cell in group if cell.round == number]
        start = (number + cells[0].seed) % len(cells)
        yield from cells[start:] + cells[:start]


def _text(value: Any) -> str:
    """Return a value as `--only` writes it; what is unset or empty is `none`."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value == []:
        return "none"
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _words(conditions: dict[str, list[Any]]) -> str:
    return ", ".join(f"{key} = {' or '.join(map(str, values))}" for key, values in conditions.items())
