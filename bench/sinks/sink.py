"""Who else hears of runs, each by a module of its own that is run as a child process."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import how_to_install
from ampbench.bench.sinks.child import last_words

TIMEOUT_S = 120.0
"""For all runs of a matrix, after its end; what was written by then on this machine can be sent later."""

LIVE = "--live"
"""Instead of runs: listen to what is told on stdin (bench/sinks/listener.py)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sink:
    """A module `python -m MODULE FOLDER PROJECT RUN_FOLDER ...` that logs runs and says with `say` what became of them.

    `python -m MODULE FOLDER PROJECT --live` logs what it is told on stdin while the runs are at work, and says nothing.
    """

    title: str
    """Begins each line for the user."""
    module: str
    help: str
    """Of its flag on the command line."""
    package: str
    """The module that it needs, imported in its child alone; its requirement is in requirements-dev.txt at least."""

    @property
    def name(self) -> str:
        """The word of its flag."""
        return self.module.rpartition(".")[2]

    @property
    def mark(self) -> str:
        """Begins each line for the user; whatever else a library prints to stdout is not one."""
        return f"{self.title}: "

    @property
    def absent(self) -> str | None:
        """Say that its package is not installed, and what to type; None if it is. Imports nothing."""
        spec = importlib.util.find_spec(self.package)
        if spec is not None and spec.origin is not None:  # a folder of that name has no origin
            return None
        return f"{how_to_install([self.package])}; the runs are kept, and the same command logs them later"

    def publish(
        self, folder: Path, run_folders: Sequence[str], *, project: str = "", timeout_s: float = TIMEOUT_S
    ) -> str:
        """Log the runs `folder`/runs/`run_folders`, unless they are; return one line for the user.

        The line says what was logged where, or why not and the next move. Raises nothing but KeyboardInterrupt,
        returns within `timeout_s` and about a second, and leaves no process behind.
        """
        if not run_folders:
            return f"{self.mark}every finished run is logged already"
        arguments = [str(folder.absolute()), project, *run_folders]
        return self.mark + last_words(self.module, arguments, mark=self.mark, timeout_s=timeout_s)

    def say(self, outcome: str) -> None:
        """Print what is true so far; called in the child."""
        print(f"{self.mark}{outcome}", flush=True)


SINKS = {
    "wandb": Sink(
        title="W&B",
        module="ampbench.bench.sinks.wandb",
        help="Log the runs to Weights & Biases; key from WANDB_API_KEY, without one offline.",
        package="wandb",
    ),
    "swanlab": Sink(
        title="SwanLab",
        module="ampbench.bench.sinks.swanlab",
        help="Log the runs to SwanLab, offline unless SWANLAB_MODE says otherwise.",
        package="swanlab",
    ),
    "tensorboard": Sink(
        title="TensorBoard",
        module="ampbench.bench.sinks.tensorboard",
        help="Write the runs as TensorBoard's event files.",
        package="tensorboard",
    ),
}
"""By the word of the flag: `--wandb`. A further one is its module and a row here."""


def project_of(project: str | None, names: Sequence[str]) -> str:
    """Return the project that was typed for sinks, empty if none was.

    Raises:
        RequestError: no sink was asked for, so that the project names nothing.
    """
    if project is not None and not names:
        raise RequestError(f"--project {project}: there is nothing to log there; add --wandb or --swanlab")
    return project or ""
