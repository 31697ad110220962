"""From a plan to its joined results: find what is missing, run it on the boards, join, report."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ampbench.bench.launch.printed_report import print_report
from ampbench.bench.launch.progress import PLAIN, Progress
from ampbench.bench.launch.refusals import refuse_mixing, refuse_shared, refuse_unwritable_locks
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import choose_boards, find_boards, unheeded
from ampbench.bench.machine.provenance import git_state, refused_switch
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.store.disk import Lasting, saying_unwritable
from ampbench.bench.store.folder import Folder

if TYPE_CHECKING:
    from ampbench.bench.launch.oom_guard import OomGuard
    from ampbench.bench.store.run import Run

WANDB_TIMEOUT_S = 120.0
"""For logging all runs of a matrix offline and sending them; then it is left to `wandb sync`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Where a plan runs and who listens; nothing here changes a value."""

    results: Path | None = None
    gpus: str | None = None
    again: Sequence[str] = ()
    """Statuses whose cells are run again."""
    mixed: bool = False
    allow_shared: bool = False
    wandb: bool = False
    log_every_s: float = 30.0
    accumulate: bool = False
    """Whether the finished runs of the folder join the plan, whatever made them."""


def sweep(plan: Plan, cells: Sequence[Cell], options: Options, console: Console) -> int:
    """Run the cells that have no record, join all of the plan's, and print the verdict.

    Returns:
        The exit code: 0 when done, failed cells included; 130 when interrupted.

    Raises:
        RequestError: before the first cell is started, or when no record can be written any more.
    """
    console.file = Lasting(console.file)
    folder = Folder.of(plan, options.results)
    with saying_unwritable(folder.path):
        return _sweep(plan, cells, folder, options, console)


def _sweep(plan: Plan, cells: Sequence[Cell], folder: Folder, options: Options, console: Console) -> int:
    boards = choose_boards(find_boards(os.environ), options.gpus)
    refused = refused_switch(os.environ)
    if refused:
        raise RequestError(refused)
    if options.accumulate:
        plan = _with_earlier(plan, folder)
    _mend(plan, folder, console)
    done = folder.done(plan.cells)
    todo = [cell for cell in cells if cell.cell_id not in done]
    if options.again:
        todo = _with_again(plan, folder, cells, todo, options.again)
    if unheard := unheeded(os.environ, boards.used):
        console.print(unheard, **PLAIN)
    if boards.ignored:
        console.print(f"Using {boards.used[0].name}; ignored: {', '.join(map(str, boards.ignored))}", **PLAIN)
    if todo and not options.mixed:
        _join(plan, folder)
        refuse_mixing(plan, folder, todo, boards.used[0])
    if todo and not options.allow_shared:
        refuse_shared(boards.used)
    if todo:
        refuse_unwritable_locks(boards.used)
    with folder.lock():
        commit, dirty = git_state()
        folder.write_plan(plan, command=_command(), git_commit=commit, git_dirty=dirty)
    interrupted = False
    if todo:
        try:
            interrupted = not _run(plan, folder, todo, boards.used, options, console)
        except RequestError:
            with suppress(OSError):  # what was finished before goes into the tables, if the disk lets it
                _join(plan, folder)
            raise
    if options.accumulate:  # others may have finished meanwhile
        plan = _with_earlier(plan, folder)
        with folder.lock():
            folder.write_plan(plan, command=_command(), git_commit=commit, git_dirty=dirty)
    _join(plan, folder)
    num_other = folder.num_other_runs(plan.cells)
    if num_other:
        console.print(f"{num_other} runs of earlier plans stay in {folder.path / 'runs'}, outside the tables", **PLAIN)
    if interrupted:
        kept = len(folder.done(plan.cells))
        console.print(f"Interrupted: {kept} of {len(plan.cells)} cells are kept. To go on: {_command()}", **PLAIN)
        return 130
    print_report(folder, console, mixed=options.mixed)
    _remind(folder, cells, todo, console)
    if options.wandb:
        _publish(folder, cells, todo, console)
    return 0


def _run(
    plan: Plan, folder: Folder, todo: Sequence[Cell], boards: Sequence[Board], options: Options, console: Console
) -> bool:
    """Run the cells; return False if a person interrupted."""
    # Imported only when there is work: the fork server then loads torch beside our own imports.
    from ampbench.bench.launch.fork_server import check_workers, start_fork_server
    from ampbench.bench.launch.local import run_groups
    from ampbench.bench.launch.preparation import prepare_data

    try:
        context = start_fork_server()
        groups, oom_guard = _prepare(plan, folder, todo, boards[0], options)
        check_workers(context)
        prepare_data(todo, boards[0], context, console, log_every_s=options.log_every_s)
        with Progress(console, num_cells=len(todo), log_every_s=options.log_every_s) as progress:
            finished = run_groups(
                groups,
                boards,
                context=context,
                watcher=progress,
                oom_guard=oom_guard,
                board_hours=plan.experiment.budget.gpu_hours,
            )
    except KeyboardInterrupt:
        return False
    if not finished:
        console.print(
            f"gpu_hours = {plan.experiment.budget.gpu_hours:g} are used up; raise it in [budget] to go on", **PLAIN
        )
    return True


def _prepare(
    plan: Plan, folder: Folder, todo: Sequence[Cell], board: Board, options: Options
) -> tuple[list[list[Run]], OomGuard]:
    """Return the runs by group, and what is known of batch sizes that do not fit."""
    from ampbench.bench.launch.oom_guard import OomGuard
    from ampbench.bench.store.join import joined_rows
    from ampbench.bench.store.run import Run

    order = {cell.cell_id: i for i, cell in enumerate(plan.cells, 1)}
    groups: dict[str, list[Run]] = {}
    for cell in todo:
        run = Run(
            folder=folder.run_path(cell),
            cell=cell,
            protocol=plan.experiment.protocol,
            budget=plan.experiment.budget,
            board=board,
            order=order[cell.cell_id],
            command=_command(),
            again=bool(options.again),
        )
        groups.setdefault(cell.group_id, []).append(run)
    ids = {cell.cell_id for cell in todo}
    earlier = joined_rows(folder, ["cell_id", "status", "because", *todo[0].settings]) if not options.again else []
    return list(groups.values()), OomGuard(row for row in earlier if row["cell_id"] not in ids)


def _join(plan: Plan, folder: Folder) -> None:
    from ampbench.bench.store.join import join

    join(plan, folder)


def _mend(plan: Plan, folder: Folder, console: Console) -> None:
    """Join what is there, if anything is, and name the files that cannot be read."""
    if folder.done(plan.cells) or folder.broken(plan.cells):
        from ampbench.bench.store.join import damaged_files

        _join(plan, folder)
        for file, reason in damaged_files(folder).items():
            console.print(f"{folder.path / file}: {reason}", style="red", **PLAIN)


def _publish(folder: Folder, cells: Sequence[Cell], fresh: Sequence[Cell], console: Console) -> None:
    """Log to W&B what was run now, and what was finished earlier but never logged."""
    from ampbench.bench.sinks.wandb import is_logged, publish

    done, ids = folder.done(cells), {cell.cell_id for cell in fresh}
    runs = [
        cell.run_folder
        for cell in cells
        if cell.cell_id in done and (cell.cell_id in ids or not is_logged(folder.path, cell.cell_id))
    ]
    console.print(publish(folder.path, runs, timeout_s=WANDB_TIMEOUT_S), **PLAIN)


def _with_again(
    plan: Plan, folder: Folder, cells: Sequence[Cell], todo: Sequence[Cell], again: Sequence[str]
) -> list[Cell]:
    from ampbench.bench.launch.endings import with_again

    _join(plan, folder)
    return with_again(folder, cells, todo, again)


def _with_earlier(plan: Plan, folder: Folder) -> Plan:
    from ampbench.bench.store.earlier import with_earlier

    return with_earlier(plan, folder)


def _remind(folder: Folder, cells: Sequence[Cell], fresh: Sequence[Cell], console: Console) -> None:
    from ampbench.bench.launch.endings import reminder

    line = reminder(folder, cells, fresh)
    if line:
        console.print(line, **PLAIN)


def _command() -> str:
    """Return the command as a person would type it again."""
    by_name = getattr(sys.modules["__main__"].__spec__, "name", None) == "ampbench.__main__"
    return shlex.join(["python", *(["-m", "ampbench"] if by_name else [os.path.relpath(sys.argv[0])]), *sys.argv[1:]])
