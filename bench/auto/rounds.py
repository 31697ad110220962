"""Adaptive rounds: a plan is run as often as its advice needs, and the budget goes where that is undecided.

    2 rounds of everything -> look -> the 3rd round of what is open, and of its reference -> look -> ... at most 12

What goes on is decided by the verdicts and kept in the folder before it is run, so that the same command continues
after a kill at any moment. An experiment with a fixed number of rounds is one sweep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich.console import Console

from ampbench.bench.auto.question import Subject, ask
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.shown.progress import PLAIN
from ampbench.bench.launch.sweep import conclude, run_cells, say_interrupted, sweep
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.plan.protocol import Budget
from ampbench.bench.plan.rounds import timing_id, with_rounds
from ampbench.bench.store.disk import Lasting, saying_unwritable
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import joined_rows
from ampbench.bench.store.rounds import add_rounds, is_decided, read_rounds, set_decided
from ampbench.schema.rounds import next_look

MOST_LINES = 6
"""Subjects whose standing is told after a look."""


def run_plan(plan: Plan, cells: Sequence[Cell], options: Options, console: Console) -> int:
    """Run the cells that have no record, with as many rounds as the file says, and print the verdict.

    Args:
        plan: as `make_plan` returns it.
        cells: those of it that were chosen, in order.
        options: where they run.
        console: shows how far it is.

    Returns:
        The exit code: 0 when done, failed cells included; 130 when interrupted.

    Raises:
        RequestError: as `sweep` does, or the verdicts cannot be asked for.
    """
    if not plan.experiment.protocol.is_adaptive:
        return sweep(plan, cells, options, console)
    chosen = _timings_of(plan, cells)
    console.file = Lasting(console.file)
    folder = Folder.of(plan, options.results)
    with saying_unwritable(folder.path):
        return _run_adaptive(plan, chosen, folder, options, console)


def _run_adaptive(plan: Plan, chosen: frozenset[str], folder: Folder, options: Options, console: Console) -> int:
    fresh: list[Cell] = []
    told: frozenset[str] | None = None
    while True:
        now = with_rounds(plan, read_rounds(folder))
        mine = [cell for cell in now.cells if timing_id(cell) in chosen]
        spent_hours = _hours(folder, fresh, plan.experiment.budget)
        swept = run_cells(now, mine, options, console, is_first=told is None, spent_hours=spent_hours)
        fresh += swept.fresh
        if not swept.is_whole:
            return 130
        options = replace(options, again=())  # once: a cell that crashes for good would never end
        done = folder.done(now.cells)
        settled = is_decided(folder) and not swept.fresh  # what was run again may have decided otherwise
        if settled or not all(cell.cell_id in done for cell in mine):  # the hours may be used up
            break
        try:
            found = ask(folder, mixed=options.mixed)
        except KeyboardInterrupt:
            say_interrupted(now, folder, console)
            return 130
        further = _further(now, chosen, found)
        shown = [one for one in found if told is None or one.name in told]
        _tell(now, shown, console, several=len(found) > 1)
        told = frozenset(one.name for one in found if one.open)
        if not further:
            if _is_for_others(now, chosen, found):
                console.print("What is open is not among the cells chosen here; run them all to go on", **PLAIN)
            else:
                set_decided(folder)
            break
        add_rounds(folder, further)
    return conclude(replace(swept, fresh=tuple(fresh)), mine, options, console)


def _timings_of(plan: Plan, cells: Sequence[Cell]) -> frozenset[str]:
    """Return the ids of the chosen timings and trainings.

    Raises:
        RequestError: some rounds of one were chosen and others not.
    """
    chosen = frozenset(map(timing_id, cells))
    if len(cells) != sum(timing_id(cell) in chosen for cell in plan.cells):
        raise RequestError('--only round=…: with rounds = "adaptive" the verdicts choose the rounds; drop it')
    return chosen


def _further(now: Plan, chosen: frozenset[str], found: Iterable[Subject]) -> dict[str, int]:
    """Return timing -> rounds that it goes on to: what is open up to its next look, its reference as far."""
    timing_of = {cell.cell_id: timing_id(cell) for cell in now.cells if not cell.epochs}
    rounds = Counter(timing_of.values())
    further: dict[str, int] = {}
    for one in (one for subject in found for one in subject.open):
        own, beside = ({timing_of[i] for i in ids if i in timing_of} for ids in (one.cells, one.beside))
        looks = {timing: look for timing in own if (look := next_look(rounds[timing]))}
        if looks and own | beside <= chosen:
            for timing in beside:
                looks[timing] = max(looks.values())
            for timing, look in looks.items():
                further[timing] = max(look, further.get(timing, 0))
    return further


def _is_for_others(now: Plan, chosen: frozenset[str], found: Iterable[Subject]) -> bool:
    """Whether something would go on if all cells were chosen."""
    return bool(_further(now, frozenset(map(timing_id, now.cells)), found)) and not _further(now, chosen, found)


def _tell(now: Plan, shown: Sequence[Subject], console: Console, *, several: bool) -> None:
    """Print after how many rounds each subject stands where."""
    timing_of = {cell.cell_id: timing_id(cell) for cell in now.cells if not cell.epochs}
    rounds = Counter(timing_of.values())
    for one in shown[:MOST_LINES]:
        going = [rounds[timing_of[i]] for o in one.open for i in o.cells if i in timing_of]
        num = max(going or rounds.values(), default=0)
        where = f", {one.name}" if several else ""
        if num:
            console.print(f"After {num} rounds{where}: {one.words}", **PLAIN)
    if len(shown) > MOST_LINES:
        console.print(f"and {len(shown) - MOST_LINES} further subjects", **PLAIN)


def _hours(folder: Folder, cells: Sequence[Cell], budget: Budget) -> float:
    """Return how long boards have worked for these cells in all; one that was timed out says no time of its own."""
    if not cells or budget.gpu_hours is None:
        return 0.0
    ids = {cell.cell_id for cell in cells}
    hours = 0.0
    for row in joined_rows(folder, ["cell_id", "status", "cell_s", "gpus"]):
        if row["cell_id"] in ids:
            seconds = 60 * budget.minutes_per_cell if row["status"] == "timeout" else row["cell_s"] or 0.0
            hours += row["gpus"] * seconds / 3600
    return hours
