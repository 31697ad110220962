"""The loop of a search: propose trials, run them as cells, look at their records; then run the best settings again.

Everything that a proposal or a pruning depends on is on disk before the trial starts: search.json holds the settings,
the records hold the results. So Ctrl-C and kill -9 cost at most the epoch at work, and the same command goes on with
the trials that it would have run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from filelock import Timeout
from rich.console import Console

from ampbench.bench.auto.search.history import History
from ampbench.bench.auto.search.outcome import last_lines, write_outcome
from ampbench.bench.auto.search.proposals import propose, require_optuna, write_journal
from ampbench.bench.auto.search.proposed import cells_of, record_of
from ampbench.bench.auto.search.pruning import prunings
from ampbench.bench.launch.options import Options, Swept
from ampbench.bench.launch.shown.progress import PLAIN
from ampbench.bench.launch.sweep import conclude, run_cells, say_interrupted
from ampbench.bench.machine.file_lock import hold_file
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import Experiment
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.plan.refusals import why_refused
from ampbench.bench.plan.search import Search, cell_of, studies_of
from ampbench.bench.store.disk import Lasting, saying_unwritable
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.search import write_search
from ampbench.schema.files import STUDY
from ampbench.schema.search import SearchRecord, Trial, best_first, settled


def run_search(experiment: Experiment, options: Options, console: Console) -> int:
    """Search, or go on with a search, and print what was found.

    Returns:
        The exit code: 0 when done, failed cells included; 130 when interrupted.

    Raises:
        RequestError: the search cannot run; what is finished is kept.
    """
    require_optuna()
    console.file = Lasting(console.file)
    folder = Folder.of(Plan(experiment=experiment, cells=(), excluded=()), options.results)
    with saying_unwritable(folder.path), _alone(folder):
        session = Session.begun(experiment, folder, options, console)
        try:
            return session.run_all()
        except KeyboardInterrupt:  # between two cells
            say_interrupted(session.plan, folder, console)
            return 130


@contextmanager
def _alone(folder: Folder) -> Iterator[None]:
    """Context of the only search in a folder; the kernel releases its lock however the process ends."""
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        with hold_file(folder.path / ".search.lock", timeout_s=0):
            yield
    except Timeout:
        raise RequestError(f"{folder.path}: another process is at this search; wait for it, or stop it") from None


@dataclass(kw_only=True)
class Session:
    """A search at work."""

    experiment: Experiment
    search: Search
    folder: Folder
    options: Options
    console: Console
    record: SearchRecord
    history: History
    spent_hours: float = 0.0
    """By the cells that this process has run."""
    fresh: tuple[Cell, ...] = ()
    """Those cells."""
    is_first: bool = True
    """Whether the choice of boards is still to be told."""

    @classmethod
    def begun(cls, experiment: Experiment, folder: Folder, options: Options, console: Console) -> Session:
        """Return the search as the folder has it."""
        assert experiment.search is not None, "its file has [search]"
        return cls(
            experiment=experiment,
            search=experiment.search,
            folder=folder,
            options=options,
            console=console,
            record=record_of(experiment, folder),
            history=History.of(folder, experiment.search.settings.objective),
        )

    def run_all(self) -> int:
        """Run all trials and reruns that are missing; return the exit code."""
        cells = list(self.plan.cells)
        swept = self._run(cells if self.options.again else [], again=True)
        if not swept.is_whole:
            return 130
        for batch in self._batches():
            swept = self._run(batch)
            if not swept.is_whole:
                return 130
            self._tell()
            if missing := self._missing():
                self._say(f"{len(missing)} cells of the search are still to run; the same command goes on")
                return 0
        write_outcome(self.experiment, self.record, self.history, self.folder)
        code = conclude(replace(swept, fresh=self.fresh), swept.plan.cells, self.options, self.console)
        for line in last_lines(self.record, self.history, self.folder):
            self._say(line)
        return code

    def _batches(self) -> Iterator[list[Cell]]:
        """Yield cells to run: what an earlier process left, batches of new trials, and the reruns."""
        if missing := self._missing():
            yield missing
        while self._propose():
            yield self._missing()  # none where search.json was lost and the records were not: they are joined
        self._choose_finalists()
        if missing := self._missing():
            self._say(f"The best settings again, with {self.search.settings.reruns} further seeds each:")
        yield missing

    def _propose(self) -> bool:
        """Add the next trials of every study; return whether there are any."""
        settings, fresh = self.search.settings, []
        for study in studies_of(self.experiment):
            trials = list(self.record.of(study.name))
            due = min(settings.trials, (len(trials) // settings.parallel + 1) * settings.parallel)
            for number in range(len(trials), due):
                values = propose(self.search, [self.history.tried(trial) for trial in trials], number)
                if values is None:
                    break
                cell = cell_of(self.experiment, study, values)
                trials.append(Trial(study=study.name, number=number, values=values, cell_id=cell.cell_id))
                fresh.append(trials[-1])
                words = " ".join(f"{key}={value}" for key, value in values.items())
                of = f" of {study.name}" if study.name else ""
                self._say(f"Trial {number} ({number + 1} of {settings.trials}){of}: {words}")
        if fresh:
            self._keep(replace(self.record, trials=(*self.record.trials, *fresh)))
        return bool(fresh)

    def _choose_finalists(self) -> None:
        """Say which trials run again, and with which cells; those that did earlier keep their reruns."""
        settings, trials = self.search.settings, {(one.study, one.number): one for one in self.record.trials}
        for study in studies_of(self.experiment):
            for trial in best_first(self.record, study.name, self.history.values)[: settings.finalists]:
                again = [
                    cell_of(self.experiment, study, trial.values, rerun=i + 1).cell_id for i in range(settings.reruns)
                ]
                trials[study.name, trial.number] = replace(trial, reruns=tuple(again))
        self._keep(replace(self.record, trials=tuple(trials.values())))

    @property
    def plan(self) -> Plan:
        """The plan of all that was proposed; settings that no cell may have are excluded, with the reason."""
        reasons = {cell: why_refused(cell) for cell in cells_of(self.experiment, self.record).values()}
        return Plan(
            experiment=self.experiment,
            cells=tuple(cell for cell, because in reasons.items() if because is None),
            excluded=tuple((cell, because) for cell, because in reasons.items() if because is not None),
        )

    def _missing(self) -> list[Cell]:
        """Return the cells without a record, in order."""
        plan = self.plan
        done = self.folder.done(plan.cells)
        return [cell for cell in plan.cells if cell.cell_id not in done]

    def _run(self, cells: Sequence[Cell], *, again: bool = False) -> Swept:
        """Run cells, and read what became of them.

        Raises:
            RequestError: no trial could run.
        """
        bars = dict(prunings(self.search, self.record, self.history, cells))
        options = replace(self.options, again=self.options.again if again else (), pruning=bars)
        swept = run_cells(self.plan, cells, options, self.console, is_first=self.is_first, spent_hours=self.spent_hours)
        self.is_first, self.fresh = False, (*self.fresh, *swept.fresh)
        self.history = History.of(self.folder, self.search.settings.objective)
        seconds = self.folder.stamp()["cell_s"]
        self.spent_hours += sum((seconds.get(cell.cell_id) or 0.0) * cell.gpus / 3600 for cell in swept.fresh)
        if swept.is_whole and not again and (because := self.history.why_hopeless(self.record.trials)):
            raise RequestError(
                f"{self.folder.path}: no trial has run so far ({because}); mend the cause, then the same command with "
                "--again failed,crashed,unsupported"
            )
        return swept

    def _keep(self, record: SearchRecord) -> None:
        self.record = record
        write_search(self.folder.path, record)

    def _write_journal(self) -> None:
        tried = {study: [self.history.tried(t) for t in self.record.of(study)] for study in self.record.studies}
        write_journal(self.folder.path / STUDY, self.search, tried)

    def _tell(self) -> None:
        """Say how the search stands."""
        self._write_journal()
        for study in self.record.studies:
            luckiest = settled(self.record, study, self.history.values).luckiest
            if luckiest:
                of = f" of {study}" if study else ""
                self._say(
                    f"Best trial{of} so far: {luckiest.trial.number}, {self.record.objective} {luckiest.value:.4g}"
                )

    def _say(self, line: str) -> None:
        self.console.print(line, **PLAIN)
