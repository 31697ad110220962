"""A plan in words: what would run, in which order, what would not and why, for how long and how large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from ampbench.bench.plan.cell import PRECISION_FIELDS, Cell
from ampbench.bench.plan.cell_times import CellTimes
from ampbench.bench.plan.data_place import state_of
from ampbench.bench.plan.duration import in_words
from ampbench.bench.plan.last_batch import one_image_note
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.plan.rounds import timing_id
from ampbench.bench.plan.seeds_needed import power_lines
from ampbench.bench.plan.source import data_note
from ampbench.bench.plan.words import counted
from ampbench.schema.memory import MIB
from ampbench.terminal import printable

MIB_PER_CELL = 0.1
"""A run's folder with some thousand steps; tried: 40 to 150 kB."""


def outline(
    plan: Plan,
    cells: Sequence[Cell],
    *,
    done: Collection[str],
    cell_s: Mapping[str, float],
    predicted: Mapping[str, int | str] | None = None,
) -> Iterator[str]:
    """Yield lines of text.

    Args:
        plan: the whole of it.
        cells: those chosen on the command line, in order.
        done: ids that have a record.
        cell_s: id -> seconds that a finished cell took.
        predicted: id -> bytes that a step will take, or in words why that is not known; None if nobody asked.
    """
    predicted = predicted or {}
    chosen = {cell.cell_id for cell in cells}
    todo = [cell for cell in cells if cell.cell_id not in done]
    yield plan.experiment.question
    yield ""
    narrowed = f", {len(cells)} of them chosen here" if len(cells) < len(plan.cells) else ""
    groups = plan.groups
    in_groups = f"{counted(len(plan.cells), 'cell')} in {counted(len(groups), 'group')}"
    yield f"{in_groups}{narrowed}; a group runs contiguously, in this order:"
    varying = _varying([group[0] for group in groups])
    order = 0
    for group in groups:
        here = [cell for cell in group if cell.cell_id in chosen]
        words = " ".join(_with_mark(cell, done) + _mib(predicted.get(cell.cell_id)) for cell in here)
        if words:
            head = " ".join(f"{field}={group[0].setting(field)}" for field in varying)
            yield f"  {order + 1:>4}  {head or group[0].model}:  {words}"
        order += len(group)
    if any(cell.cell_id in done for cell in cells):
        yield "        (+ has a record and is not run again)"
    if predicted:
        yield "        (MiB: predicted peak of a training step, without the data set and the kernels' workspaces)"
    for because in sorted({said for said in predicted.values() if isinstance(said, str)}):
        yield f"        (? MiB: {because})"
    for gpus in sorted({cell.gpus for cell in cells} - {1}):
        yield f"        (gpus = {gpus}: on so many GPUs of one model, or processes on one CPU; batch_size is of each)"
    for note in sorted({note for cell in cells if (note := one_image_note(cell))}):
        yield f"        ({note})"
    if plan.excluded:
        yield f"{len(plan.excluded)} excluded:"
        for cell, because in plan.excluded:
            yield f"        {cell}: {because}"
    for data in sorted({cell.data for cell in cells}):
        note = data_note(data)
        yield printable(f"Data: {data} {state_of(data)}." + (f" Note: {note}." if note else ""))
    yield ""
    yield from power_lines(plan.cells)
    yield from _rounds_lines(plan, cells)
    yield from _start_lines(plan)
    disk = f"about {len(todo) * MIB_PER_CELL:.1f} MiB of disk"
    if plan.experiment.protocol.keep_best and any(cell.epochs for cell in todo):
        disk += ", best.pt of each cell aside"
    if plan.experiment.protocol.keep_final and any(cell.epochs for cell in todo):
        disk += ", model_final.pt too"
    if "snapshot" in plan.experiment.protocol.passes:
        disk += ", and on a GPU 10 to 400 MB of memory.pickle each"
    yield f"To run: {counted(len(todo), 'cell')}, {_duration(plan, todo, cell_s)}, {disk}."


def _rounds_lines(plan: Plan, cells: Sequence[Cell]) -> Iterator[str]:
    """Say how many rounds may be added to those of the plan, where the verdicts decide it."""
    protocol = plan.experiment.protocol
    timings = len({timing_id(cell) for cell in cells if not cell.epochs})
    if not protocol.is_adaptive:
        return
    if not timings:
        yield 'Rounds: "adaptive" adds none to a training; it is repeated by seeds'
        return
    most = timings * protocol.most_rounds
    planned = sum(not cell.epochs for cell in cells)
    yield (
        f"Rounds: {protocol.first_rounds} to {protocol.most_rounds} rounds, adaptive: {planned} timings so far, "
        f"at most {most}; only what is undecided goes on, with its reference"
    )


def _start_lines(plan: Plan) -> Iterator[str]:
    """Say what the starts of the trainings cost, and whether their seeds can tell anything."""
    num_steps = plan.experiment.protocol.start_steps
    if not num_steps:
        return
    cells = [cell for cell in plan.cells if not cell.round]
    timed = any(not cell.epochs for cell in cells)
    line = f"Start: the first {num_steps:,} steps" + (", to which a shorter timing goes on, off the clock" * timed)
    fewest = min(Counter(_but_seed(cell) for cell in cells).values())
    yield line + (f"; {fewest} seeds" if fewest > 1 else "; 1 seed has no spread, so nothing can be told: take 2 to 4")


def _but_seed(cell: Cell) -> str:
    return repr({key: value for key, value in cell.settings.items() if key != "seed"})


def _with_mark(cell: Cell, done: Collection[str]) -> str:
    scale = f"/{cell.resolved_loss_scale}" if cell.loss_scale is not None else ""
    name = f"{cell.precision}{scale}" + (f"/r{cell.round}" if cell.round else "")
    return f"{name}+" if cell.cell_id in done else name


def _mib(predicted: int | str | None) -> str:
    if predicted is None:
        return ""
    return f" ({predicted / MIB:,.0f} MiB)" if isinstance(predicted, int) else " (? MiB)"


def _varying(cells: Sequence[Cell]) -> list[str]:
    """Return the fields besides precision that tell the groups apart."""
    first = cells[0].settings
    fields = [field for field in first if field not in (*PRECISION_FIELDS, "round")]
    return [field for field in fields if any(cell.setting(field) != first[field] for cell in cells)]


def _duration(plan: Plan, todo: Sequence[Cell], cell_s: Mapping[str, float]) -> str:
    """Estimate from finished cells, else quote the budget."""
    times = CellTimes.of(plan.cells, cell_s)
    if not times.num_known:
        limit = plan.experiment.budget.minutes_per_cell
        return f"no cell finished yet to estimate the time from (limit {limit:g} min a cell)"
    seconds = sum(times.expected_s(cell) or 0.0 for cell in todo)
    return f"about {in_words(seconds)} on one board, judged by {counted(times.num_known, 'finished cell')}"
