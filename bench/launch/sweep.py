"""From a plan to its joined results: find what is missing, run it where the launcher runs cells, join, report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain

from rich.console import Console

from ampbench.bench.launch.endings import cells_to_run, reminders
from ampbench.bench.launch.groups import groups_of
from ampbench.bench.launch.launcher import Launcher
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.options import Options, Swept
from ampbench.bench.launch.refusals import refuse_mixing, refuse_unlike
from ampbench.bench.launch.shown.company import before_run
from ampbench.bench.launch.shown.printed_report import print_report
from ampbench.bench.launch.shown.progress import PLAIN, Progress
from ampbench.bench.launch.shown.typed import command_typed
from ampbench.bench.launch.shown.watchers import Watchers
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.machine.provenance import git_state
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.sinks.live import Live
from ampbench.bench.sinks.publish import publish_finished
from ampbench.bench.sinks.sink import SINKS
from ampbench.bench.store.disk import Lasting, saying_unwritable
from ampbench.bench.store.earlier import with_earlier
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import complaints, join
from ampbench.bench.store.names import refuse_other_tables


def sweep(plan: Plan, cells: Sequence[Cell], options: Options, console: Console) -> int:
    """Run the cells that have no record, join all of the plan's, and print the verdict.

    Returns:
        The exit code: 0 when done, failed cells included; 130 when interrupted.

    Raises:
        RequestError: before the first cell is started, or when no record can be written any more.
    """
    console.file = Lasting(console.file)
    with saying_unwritable(Folder.of(plan, options.results).path):
        swept = run_cells(plan, cells, options, console)
        return conclude(swept, cells, options, console) if swept.is_whole else 130


def run_cells(
    plan: Plan,
    cells: Sequence[Cell],
    options: Options,
    console: Console,
    *,
    is_first: bool = True,
    spent_hours: float = 0.0,
) -> Swept:
    """Run the cells that have no record and join all of the plan's; whoever interrupts is told how to go on.

    Args:
        plan: the whole of it.
        cells: those of it that were chosen, in order.
        options: where they run.
        console: shows how far it is.
        is_first: whether the choice of boards is still to be told.
        spent_hours: of `[budget] gpu_hours`, before.

    Raises:
        RequestError: before the first cell is started, or when no record can be written any more.
    """
    folder = Folder.of(plan, options.results)
    found = options.launcher.find_boards()
    boards = _of_one_machine(found, options.launcher) if plan.experiment.search else found
    refuse_other_tables(folder.path)
    plan = with_earlier(plan, folder) if options.accumulate else plan
    _mend(plan, folder, options, console)
    todo = cells_to_run(plan, cells, folder, options.again)
    notes = chain(options.launcher.notes(boards), before_run(folder.path, boards, options.launcher.machine_of))
    for note in notes if is_first else ():
        console.print(note, **PLAIN)
    if is_first and len(boards.used) < len(found.used):
        left = len(found.used) - len(boards.used)
        console.print(f"Trials are ranked together, so they run on one kind of board: {left} others are left", **PLAIN)
    if todo:
        options.launcher.require_ready(todo, folder.path)
        _refuse(plan, todo, folder, boards, options)
    _write_plan(plan, folder)
    is_whole = not todo or _run(plan, todo, folder, boards, options, console, spent_hours)
    if options.accumulate:  # others may have finished meanwhile
        plan = with_earlier(plan, folder)
        _write_plan(plan, folder)
    join(plan, folder)
    if not is_whole:
        _count_other_runs(plan, folder, console)
        say_interrupted(plan, folder, console)
    return Swept(plan=plan, folder=folder, fresh=tuple(todo), is_whole=is_whole)


def say_interrupted(plan: Plan, folder: Folder, console: Console) -> None:
    """Say what is kept, and how to go on."""
    kept = len(folder.done(plan.cells))
    console.print(f"Interrupted: {kept} of {len(plan.cells)} cells are kept. To go on: {command_typed()}", **PLAIN)


def conclude(swept: Swept, cells: Sequence[Cell], options: Options, console: Console) -> int:
    """Print the verdict, what is to be known of the runs, and what whoever listens says; return the exit code."""
    folder = swept.folder
    _count_other_runs(swept.plan, folder, console)
    if not cells:
        num = len(swept.plan.groups)
        console.print(f"This shard has no cells: shards have whole groups, and the plan has {num} of them", **PLAIN)
    if options.report and not options.accumulate:
        if folder.done(swept.plan.cells):
            print_report(folder, console, mixed=options.mixed)
        else:
            console.print(f"No cell has a record in {folder.path} yet, so there is nothing to report", **PLAIN)
    told = publish_finished(options.sinks, folder, cells, swept.fresh, project=options.project)
    for line in chain(reminders(folder, cells, swept.fresh), told):
        console.print(line, **PLAIN)
    return 0


def _of_one_machine(boards: Boards, launcher: Launcher) -> Boards:
    """Return the boards of the most common machine: trials are ranked together, so all run on boards of one kind."""
    machines = {board: launcher.machine_of(board) for board in boards.used}
    common = Counter(machines.values()).most_common(1)[0][0]
    used = tuple(board for board, machine in machines.items() if machine == common)
    return replace(boards, used=used, ignored=(*boards.ignored, *(board for board in boards.used if board not in used)))


def _mend(plan: Plan, folder: Folder, options: Options, console: Console) -> None:
    """Join what is there, if anything is, and say what is to be mended."""
    if folder.records(plan.cells):
        join(plan, folder)
    for line in sorted({*complaints(folder)} - options.introduced):
        options.introduced.add(line)
        console.print(line, style="red", **PLAIN)


def _refuse(plan: Plan, todo: Sequence[Cell], folder: Folder, boards: Boards, options: Options) -> None:
    """Refuse to run cells whose rows could not be compared.

    Raises:
        RequestError: with the next move.
    """
    if not options.mixed:
        described = {board: options.launcher.machine_of(board) for board in boards.used}
        machines = {board: machine for board, machine in described.items() if machine is not None}
        refuse_unlike(machines)
        join(plan, folder)
        refuse_mixing(plan, folder, todo, machines.values())
    options.launcher.refuse(boards)


def _write_plan(plan: Plan, folder: Folder) -> None:
    commit, dirty = git_state()
    with folder.lock():
        folder.write_plan(plan, command=command_typed(), git_commit=commit, git_dirty=dirty)


def _run(
    plan: Plan,
    todo: Sequence[Cell],
    folder: Folder,
    boards: Boards,
    options: Options,
    console: Console,
    spent_hours: float,
) -> bool:
    """Run the cells; return False if a person interrupted.

    Raises:
        RequestError: no worker can start, or no record can be written; what was finished before is joined.
    """
    launcher, hours = options.launcher, plan.experiment.budget.gpu_hours
    try:
        with _live(folder, boards, options, console) as live:
            launcher.prepare(todo, boards, console, log_every_s=options.log_every_s)
            again = bool(options.again)
            groups = groups_of(
                plan, todo, folder, boards.used[0], command=command_typed(), again=again, pruning=options.pruning
            )
            oom_guard = OomGuard() if again else OomGuard.knowing(folder, replaced=todo)
            with Progress(
                console, num_cells=len(todo), log_every_s=options.log_every_s, introduced=options.introduced
            ) as progress:
                watcher = Watchers(progress, live)
                left = None if hours is None else max(hours - spent_hours, 0.0)
                finished = launcher.run(groups, boards, watcher=watcher, oom_guard=oom_guard, board_hours=left)
        for line in live.complaints():
            console.print(line, **PLAIN)
    except KeyboardInterrupt:
        return False
    except RequestError:
        with suppress(OSError):  # if the disk lets it
            join(plan, folder)
        raise
    if not finished:
        used_up = f"gpu_hours = {hours:g} are used up; raise it in [budget] to go on"
        console.print(options.out_of_hours or used_up, **PLAIN)
    return True


def _live(folder: Folder, boards: Boards, options: Options, console: Console) -> Live:
    """Start the children of the sinks, before anything is measured; say which sink has no package."""
    for name in options.sinks:
        if absent := SINKS[name].absent:
            console.print(f"{SINKS[name].mark}{absent}", **PLAIN)
    live = Live(folder=folder.path, names=options.sinks, project=options.project)
    live.start(board.site for board in boards.used)
    return live


def _count_other_runs(plan: Plan, folder: Folder, console: Console) -> None:
    num_other = folder.num_other_runs(plan.cells)
    if num_other:
        console.print(f"{num_other} runs of earlier plans stay in {folder.path / 'runs'}, outside the tables", **PLAIN)
