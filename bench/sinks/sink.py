"""Who else hears of finished runs, each by a module of its own that is run as a child process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ampbench.bench.sinks.child import last_words

TIMEOUT_S = 120.0
"""For all runs of a matrix; what a sink has written by then on this machine, it can send later by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sink:
    """A module `python -m MODULE FOLDER RUN_FOLDER ...` that logs runs and says with `say` what has become of them."""

    title: str
    """Begins each line for the user."""
    module: str
    help: str
    """Of its flag on the command line."""
    written: str
    """Pattern of what it writes for a run, in the experiment's folder; `{cell_id}` stands in it."""

    @property
    def mark(self) -> str:
        """Begins each line for the user; whatever else a library prints to stdout is not one."""
        return f"{self.title}: "

    def publish(self, folder: Path, run_folders: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> str:
        """Log the runs `folder`/runs/`run_folders`; return one line for the user.

        The line says what was logged where, or why not and the next move. Raises nothing but KeyboardInterrupt,
        returns within `timeout_s` and about a second, and leaves no process behind.
        """
        if not run_folders:
            return f"{self.mark}every finished run is logged already"
        arguments = [str(folder.absolute()), *run_folders]
        return self.mark + last_words(self.module, arguments, mark=self.mark, timeout_s=timeout_s)

    def is_logged(self, folder: Path, cell_id: str) -> bool:
        """Whether a run was written before, sent or not, from this machine or another."""
        return any(folder.glob(self.written.format(cell_id=cell_id)))

    def say(self, outcome: str) -> None:
        """Print what is true so far; called in the child."""
        print(f"{self.mark}{outcome}", flush=True)


SINKS = {
    "wandb": Sink(
        title="W&B",
        module="ampbench.bench.sinks.wandb",
        help="Log the finished runs to Weights & Biases; key from WANDB_API_KEY.",
        written="wandb/offline-run-*-{cell_id}",
    ),
}
"""By the word of the flag: `--wandb`. A further one is its module and a row here."""
