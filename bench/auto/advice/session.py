"""An advice at work: what was asked, what is chosen so far, and how one of its experiments is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ampbench.bench.auto.advice.clock import Clock
from ampbench.bench.auto.advice.request import Request
from ampbench.bench.auto.standings import Standing, standings_of
from ampbench.bench.auto.trials import MENDABLE
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.shown.progress import PLAIN
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import Plan, make_plan
from ampbench.bench.plan.rounds import with_rounds
from ampbench.bench.store.atomic import write_text
from ampbench.bench.store.choices import write_choices
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.rounds import read_rounds
from ampbench.schema.choices import Choice, Value, read_choices

Run = Callable[[Plan, tuple[Cell, ...], Options, Console], int]
"""Runs a plan to its records and returns an exit code: `run_plan`, whose rounds may be adaptive."""


OUT_OF_TIME = "The time for this is over; the same command with more --minutes goes on"


class Interrupted(Exception):
    """A person pressed Ctrl-C: what is finished is kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """An experiment of an advice that was run."""

    plan: Plan
    folder: Folder
    standings: tuple[Standing, ...]
    """Where its recipes stand; none if no cell has a row."""

    @property
    def reference(self) -> Standing | None:
        """The recipe that the others are compared with, else the first that ran to its end; None if none did."""
        ran = [one for one in self.standings if one.images_per_s]
        return next((one for one in ran if one.speed == "reference"), next(iter(ran), None))


@dataclass(kw_only=True)
class Session:
    """One advice at work."""

    request: Request
    folder: Path
    options: Options
    """Where cells run; the results of the experiments go into `folder`, whatever it says."""
    console: Console
    clock: Clock
    run_plan: Run
    parts: dict[str, Part] = field(default_factory=dict)
    """Name of a stage -> its experiment, in the order in which they were run."""

    @property
    def choices(self) -> Mapping[str, Choice]:
        """Field -> what was chosen for all recipes, by this call or an earlier one."""
        return {one.field: one for one in read_choices(self.folder) if not one.subject}

    def choose(self, *choices: Choice) -> None:
        """Keep choices in the folder, and show them."""
        write_choices(self.folder, choices)
        for one in choices:
            because = f"; {one.reason}" if one.reason else ""
            self.say(f"  {one.field}{f' of {one.subject}' * bool(one.subject)}: {one.shown}{because}")

    def skip(self, stage: str, because: str) -> None:
        """Keep the reason why a stage finds nothing; a later call with more minutes tries it again."""
        self.choose(Choice(field=stage, value=None, reason=because, by="rule"))

    def say(self, line: str) -> None:
        """Show a line."""
        self.console.print(line, **PLAIN)

    @property
    def asked(self) -> dict[str, Any]:
        """The fields of a cell that were given."""
        return {"model": self.request.model, "data": self.request.data, **self.request.fixed}

    @property
    def subject(self) -> dict[str, Any]:
        """The fields of a cell that all further experiments share: what was given, and what was chosen."""
        fields = self.asked
        chosen: dict[str, Value] = {key: one.value for key, one in self.choices.items() if one.value is not None}
        for key in ("batch_size", "learning_rate", "loader", "num_workers"):
            if key in chosen:
                fields.setdefault(key, chosen[key])
        return fields

    @property
    def quiet(self) -> Options:
        """Where cells run, without a report of each experiment."""
        return replace(self.options, results=self.folder, report=False, out_of_hours=OUT_OF_TIME)

    def has_begun(self, name: str) -> bool:
        """Whether this call or an earlier one wrote the experiment of a stage, which is not changed any more."""
        return (self.folder / f"{name}.toml").exists()

    def experiment(self, name: str, text: Callable[[], str], *, share_s: float) -> Part:
        """Run the experiment file `name`.toml of the folder, which is written first if it is not there.

        An experiment that an earlier call began goes on as it was written then, but for the time of this call; what
        failed in it is run again, for its cause may have been mended since.

        Args:
            name: of the stage.
            text: returns the file's text.
            share_s: seconds in which cells may be started.

        Raises:
            Interrupted: by a person.
            RequestError: it cannot be run.
        """
        path = self.folder / f"{name}.toml"
        if not path.exists():
            write_text(path, text())
        if name in self.choices and self.choices[name].value is None:  # an earlier call left it out, and said why
            write_choices(self.folder, [Choice(field=name, value=path.name, reason="", by="rule")])
        experiment = read_experiment(path)
        budget = replace(experiment.budget, gpu_hours=share_s / 3600)
        plan = make_plan(replace(experiment, budget=budget))
        options = replace(self.quiet, again=MENDABLE)
        if self.run_plan(plan, plan.cells, options, self.console) == 130:
            raise Interrupted
        folder = Folder.of(plan, self.folder)
        plan = with_rounds(plan, read_rounds(folder))
        part = Part(plan=plan, folder=folder, standings=tuple(standings_of(folder.path)))
        self.parts[name] = part
        return part
