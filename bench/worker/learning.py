"""What the network learned: evaluated between epochs, off the clock; the best epoch and the last one named apart."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from bench.plan.measure import Measure
from bench.store.atomic import replacing
from bench.train.evaluate import Evaluation
from bench.train.training import Training
from bench.worker.traces import Rows

BEST = "best.pt"
"""In a run's folder, if asked for."""

UNKNOWN = dict.fromkeys(field.name for field in fields(Evaluation))


@dataclass
class Learning:
    """The evaluations of one training. Its epochs are `epochs`, rows of the table, from which a resume knows them."""

    training: Training
    measure_by: Measure
    epochs: Rows
    folder: Path | None
    """Of the run; None: the best weights are not kept."""
    evaluate_s: float = 0.0

    def evaluate(self, epoch: int) -> dict[str, Any]:
        """Evaluate after an epoch, counted from 1, if it is one of those to be evaluated; else the values are None."""
        if epoch % self.measure_by.evaluate_every and epoch != self.training.cell.epochs:
            return UNKNOWN
        begun = time.perf_counter()
        found = self.training.evaluate()
        self.evaluate_s += time.perf_counter() - begun
        if self.measure_by.keep_best and self.folder and found.test_accuracy > self.best[0]:
            self._keep(self.folder / BEST, epoch, found.test_accuracy)
        return asdict(found)

    @property
    def best(self) -> tuple[float, int]:
        """Highest test accuracy so far, and the first epoch that had it."""
        known = [(e["test_accuracy"], -e["epoch"]) for e in self.epochs if e["test_accuracy"] is not None]
        accuracy, epoch = max(known, default=(-1.0, 0))
        return accuracy, -epoch

    def sum_up(self) -> dict[str, Any]:
        """Return what the row says of the epochs, the last one's evaluation aside."""
        accuracy, epoch = self.best
        target = self.measure_by.target_accuracy
        found = {"best_test_accuracy": accuracy, "best_epoch": epoch, "target_accuracy": target}
        reached = (e["train_s"] for e in self.epochs if target and (e["test_accuracy"] or 0) >= target)
        return found | {"time_to_accuracy_s": next(reached, None)}

    def _keep(self, path: Path, epoch: int, test_accuracy: float) -> None:
        state = {
            "epoch": epoch,
            "test_accuracy": test_accuracy,
            "classes": list(self.training.images.classes),
            "model": self.training.average.model().state_dict(),
            "optimizer": self.training.optimizer.state_dict(),
        }
        try:
            with replacing(path) as partial:
                torch.save(state, partial)
        except (OSError, RuntimeError) as e:
            print(f"{BEST} of epoch {epoch} is not kept: {e}", file=sys.stderr)  # a full disk; the training goes on
