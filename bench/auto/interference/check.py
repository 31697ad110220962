"""`--check-interference`: the same cell in turns, alone and beside busy neighbours, until an interval tells.

    round 1: alone, beside    round 2: beside, alone    round 3: alone, beside ...

The order alternates, so that a machine which becomes slower meanwhile favours neither. Each timing is a cell of an
experiment of its own, `alone.toml` or `beside.toml`: whoever interrupts keeps what is finished, and the same command
goes on. After 4, 6, 8 and 12 rounds the verdict is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from ampbench.bench.auto.interference.conditions import Conditions, teams_of
from ampbench.bench.auto.judge import asked
from ampbench.bench.auto.trials import MENDABLE, as_trial, text_of
from ampbench.bench.launch.launcher import Launcher
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.shown.progress import PLAIN
from ampbench.bench.launch.shown.typed import command_typed
from ampbench.bench.launch.sweep import run_cells
from ampbench.bench.machine.provenance import environment_id
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import Plan, make_plan
from ampbench.bench.plan.protocol import Budget
from ampbench.bench.store.atomic import write_text
from ampbench.bench.store.disk import Lasting, saying_unwritable
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.interference import write_interference
from ampbench.bench.store.join import recorded_rows
from ampbench.schema.files import INTERFERENCE
from ampbench.schema.interference import ADVICE, LOOKS, Interference
from ampbench.schema.recipes import RECIPE_NAMES
from ampbench.schema.version import METHOD_VERSION

MINUTES = 15.0
"""No further round is begun that would end after it, once there are enough for an interval."""
FEWEST = 2
"""Rounds that an interval needs."""
MINUTES_PER_TIMING = 5.0

MEASURE = {
    "target_ci": 0.003,
    "rounds": LOOKS[-1],
    "block_ms": 100.0,
    "max_warmup_s": 10.0,
    "max_timing_s": 5.0,
    "passes": [],
}
COLUMNS = ("status", "because", "images_per_s")


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One condition: its launcher and its plan, a round of the cell each."""

    name: str
    launcher: Launcher
    plan: Plan
    results: Path

    @property
    def folder(self) -> Folder:
        """Of its results."""
        return Folder.of(self.plan, self.results)

    def row(self, number: int) -> Mapping[str, Any] | None:
        """Return what is recorded of a round; None if it has not run yet."""
        cell = self.plan.cells[number]
        return recorded_rows(self.folder, [cell], list(COLUMNS)).get(cell.cell_id)

    def images_per_s(self, number: int) -> float:
        """Return the speed in a round.

        Raises:
            RequestError: the cell ended badly, so that nothing can be compared.
        """
        row = self.row(number)
        if row is None or row["status"] != "ok" or not row["images_per_s"]:
            how = "no record" if row is None else f"{row['status']}, {row['because']}"
            cell = self.plan.cells[number]
            raise RequestError(f"{cell} cannot be timed {self.name}: {how}; choose another cell with --only")
        return float(row["images_per_s"])


def reference_of(cells: Sequence[Cell]) -> Cell:
    """Return the cell that is timed: of the first group, the recipe that others are compared with."""
    group = [cell for cell in cells if cell.group_id == cells[0].group_id]
    known = {name: place for place, name in enumerate(RECIPE_NAMES)}
    return min(group, key=lambda cell: known.get(cell.precision.name, len(known)))


def check_interference(
    plan: Plan,
    cells: Sequence[Cell],
    options: Options,
    conditions: Conditions,
    console: Console,
    *,
    minutes: float = MINUTES,
) -> int:
    """Check whether a cell runs slower beside busy neighbours, keep the verdict in the plan's folder, and say it.

    Args:
        plan: the whole of it.
        cells: those of it that were chosen; the reference of the first group is timed.
        options: where the results are.
        conditions: the launchers.
        console: shows how far it is.
        minutes: that it may take, more or less.

    Returns:
        The exit code: 0 when done, 130 when interrupted.

    Raises:
        RequestError: the cell cannot be timed here, or ended badly.
    """
    if not cells:
        raise RequestError("--check-interference: no cell is chosen that could be timed; choose with --only or --shard")
    console.file = Lasting(console.file)
    folder = Folder.of(plan, options.results)
    boards = conditions.beside.find_boards()
    for note in conditions.beside.notes(boards):
        console.print(note, **PLAIN)
    own, *others = teams_of(boards.used, cells[0].gpus) or [()]
    if not others:
        console.print("Nothing runs beside a cell here: all boards are its own. There is nothing to check", **PLAIN)
        return 0
    with saying_unwritable(folder.path):
        cell = as_trial(reference_of(cells), reference_of(cells).batch_size)
        machine = conditions.beside.machine_of(own[0])
        assert machine is not None, "the boards of a check are of this machine"
        checked = environment_id(machine, METHOD_VERSION)
        sides = _sides(cell, folder.path / Path(INTERFERENCE).stem / f"{checked}-{len(others)}", conditions, plan)
        beside = ", ".join(str(team[0]) for team in others)
        console.print(f"{cell} on {own[0]}: alone, and beside the same on {beside}", **PLAIN)
        try:
            said = _rounds(sides, options, console, minutes)
        except KeyboardInterrupt:
            console.print(f"Interrupted: the finished rounds are kept. To go on: {command_typed()}", **PLAIN)
            return 130
        if said is None:
            return 130
        found = Interference(
            **said,
            cell=str(cell),
            num_threads=cell.num_threads,
            board=own[0].board_id,
            neighbours=tuple(board.board_id for team in others for board in team),
            machine=machine.machine,
            environment_id=checked,
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command_typed(),
        )
        write_interference(folder.path, found)
        advice = f": {ADVICE}" if found.is_exclusive_advised else ""
        console.print(f"{found.words[0].upper()}{found.words[1:]}{advice}", **PLAIN)
        console.print(f"Kept in {folder.path / INTERFERENCE}; to check again, delete {sides[0].results}", **PLAIN)
    return 0


def _sides(cell: Cell, results: Path, conditions: Conditions, plan: Plan) -> tuple[Side, Side]:
    limit = min(MINUTES_PER_TIMING, plan.experiment.budget.minutes_per_cell)
    budget = Budget(minutes_per_cell=limit, memory_gib_per_cell=plan.experiment.budget.memory_gib_per_cell)
    results.mkdir(parents=True, exist_ok=True)
    sides = []
    launchers = {"alone": conditions.alone, "beside": conditions.beside}
    for name, launcher in launchers.items():
        file = results / f"{name}.toml"
        text = text_of(f"How fast is the cell {name}?", [cell], budget, measure=MEASURE)
        write_text(file, text)
        own = make_plan(parse_experiment(file, text))
        sides.append(Side(name=name, launcher=launcher, plan=own, results=results))
    alone, beside = sides
    return alone, beside


def _rounds(sides: tuple[Side, Side], options: Options, console: Console, minutes: float) -> Mapping[str, Any] | None:
    """Run rounds until they tell, or the time is over; return the verdict, None if a person interrupted a cell."""
    until_s, longest_s = time.monotonic() + 60 * minutes, 0.0
    for number in range(LOOKS[-1]):
        begun_s = time.monotonic()
        for side in sides if number % 2 == 0 else sides[::-1]:
            if not _run(side, number, options, console):
                return None
        alone, beside = (side.images_per_s(number) for side in sides)
        speeds = f"alone {alone:,.0f} images/s, beside {beside:,.0f}, {beside / alone:.3g}x"
        console.print(f"Round {number + 1} of at most {LOOKS[-1]}: {speeds}", **PLAIN)
        longest_s = max(longest_s, time.monotonic() - begun_s)
        is_last = number + 1 == LOOKS[-1] or (number + 1 >= FEWEST and time.monotonic() + longest_s > until_s)
        if is_last or number + 1 in LOOKS:
            said: Mapping[str, Any] = asked("interference", sides[0].results)
            if is_last or said["verdict"] != "can't tell":
                return said
    raise AssertionError("the last round ends it")


def _run(side: Side, number: int, options: Options, console: Console) -> bool:
    """Run a round of one condition, unless it is recorded; return False if a person interrupted, who was told then.

    Raises:
        RequestError: it ended badly, or cannot be run here.
    """
    row = side.row(number)
    if row is None or row["status"] in MENDABLE:
        again = MENDABLE if row else ()
        own = replace(options, launcher=side.launcher, results=side.results, report=False, again=again, sinks=())
        if not run_cells(side.plan, [side.plan.cells[number]], own, console, is_first=False).is_whole:
            return False
    side.images_per_s(number)  # an end that spoils the check is said before the other condition is run
    return True
