"""Checkpoints, which survive a kill: the training and all measurements so far, at the end of an epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ampbench.bench.measure.clock import Block
from ampbench.bench.train.state.checkpoint_file import load_checkpoint, save_checkpoint
from ampbench.bench.train.training import Training
from ampbench.bench.worker.outcome import Outcome
from ampbench.schema.column import values_of

LAYOUT = 3
"""Version of the content of a checkpoint; increased when a training of the older version cannot be resumed."""


@dataclass
class Checkpoints:
    """The checkpoints of one run."""

    folder: Path
    every_s: float
    """A checkpoint is due at the end of an epoch, when this many seconds have passed since the last one."""
    cell_id: str
    environment_id: str
    """Hash of machine, versions and method."""
    last_s: float = field(default_factory=time.perf_counter)

    @property
    def is_due(self) -> bool:
        """Whether a checkpoint should be written after the present epoch."""
        return time.perf_counter() - self.last_s >= self.every_s

    @property
    def made(self) -> dict[str, Any]:
        """What must be equal in a checkpoint and in the training resumed from it: else sums round differently."""
        return {
            "layout": LAYOUT,
            "cell_id": self.cell_id,
            "environment_id": self.environment_id,
            "num_threads": torch.get_num_threads(),
        }

    def save(self, training: Training, outcome: Outcome, blocks: Sequence[Block], *, epoch: int) -> None:
        """Write a checkpoint after `epoch` epochs.

        Raises:
            OSError: it cannot be written.
        """
        state = {
            "made": self.made,
            "epoch": epoch,
            "training": training.state_dict(),
            "outcome": outcome.state_dict(),
            "blocks": [values_of(block) for block in blocks],
        }
        save_checkpoint(self.folder, state)
        self.last_s = time.perf_counter()

    def load(self) -> dict[str, Any] | None:
        """Read the newest complete checkpoint; None where there is none.

        Raises:
            ValueError: it is of another cell, machine, version or number of threads, so the resumed training would
                not be the same bit for bit.
        """
        saved = load_checkpoint(self.folder)
        if saved and saved["made"].get("layout") != LAYOUT:
            raise ValueError(
                f"the checkpoint in {self.folder} was made by another version of ampbench, from which this one cannot "
                "go on; finish the training with that version, or delete checkpoint*.pt there to start over; either "
                "with --again failed"
            )
        for what, value in self.made.items() if saved else ():
            if saved and saved["made"].get(what) != value:
                raise ValueError(
                    f"the checkpoint was made with {what} = {saved['made'].get(what)}, here it is {value}, and the "
                    "training would not go on bit for bit; restore that, or start over by deleting "
                    f"checkpoint*.pt in {self.folder}"
                )
        return saved


class NoCheckpoints:
    """Writes no checkpoints: an interrupted training starts over."""

    folder = None
    is_due = False

    def save(self, training: Training, outcome: Outcome, blocks: Sequence[Block], *, epoch: int) -> None:
        """Write nothing."""

    def load(self) -> None:
        """Return None: there is none."""
