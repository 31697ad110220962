"""Evaluate what the network learned, between epochs and off the clock; the best and the last epoch are kept apart."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.store.atomic import replacing
from ampbench.bench.train.state.checkpoint_file import write_state
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.train.training import Training
from ampbench.bench.worker.timing.timing import Report
from ampbench.schema.epochs import EpochRow
from ampbench.schema.files import BEST, FINAL
from ampbench.schema.learned import course_of
from ampbench.schema.learning import BestEpoch, Course, Evaluation

REPORT_EVERY_S = 0.5
"""Between two reports of an evaluation's progress."""


@dataclass
class Evaluations:
    """The evaluations of one training. `epochs` are the rows of its epochs, also of those before a resume."""

    training: Training
    protocol: MeasurementProtocol
    epochs: list[EpochRow]
    folder: Path | None
    """Folder of the run; None: the best weights are not kept."""
    report: Report = lambda **_: None
    """Called with the progress of an evaluation."""
    last_s: float | None = field(init=False, default=None)
    """Seconds of the last epoch's evaluation; None if there was none."""
    broken: str | None = field(init=False, default=None)
    """What was not finite in the last evaluation, in words; None if all was finite."""
    unkept: str | None = field(init=False, default=None)
    """Why weights could not be written, the first time; None if they could."""
    kept: float = field(init=False, default=-1.0)
    """Test accuracy of the weights in best.pt; below every accuracy where there are none."""

    def __post_init__(self) -> None:
        """Delete weights of an earlier attempt, and of epochs that a resumed training repeats."""
        if self.folder:
            (self.folder / FINAL).unlink(missing_ok=True)
        path = self.folder / BEST if self.folder else None
        if path is None or not path.exists():
            return
        try:
            found = torch.load(path, map_location="cpu", mmap=True, weights_only=True) if self.epochs else {}
            known = bool(self.epochs) and found["epoch"] <= self.epochs[-1].epoch
            self.kept = float(found["test_accuracy"]) if known else self.kept
        except Exception as e:  # damaged, or not a file of weights
            print(f"{path}: cannot be read ({type(e).__name__}: {e}); it is replaced", file=sys.stderr)
            known = False
        if not known:
            path.unlink()

    def evaluate(self, epoch: int) -> Evaluation:
        """Evaluate after an epoch, from 1, if it is one of those to be evaluated; else the values are None."""
        if epoch % self.protocol.evaluate_every and epoch != self.training.cell.epochs:
            self.last_s = None
            return Evaluation()
        begun = self._reported_s = time.perf_counter()
        self.report(phase="evaluation", evaluated_share=0.0)
        self.training.on_progress = self._tell
        try:
            found = self.training.evaluate()
        except Diverged as e:  # the results of the epoch before it are kept
            self.broken = str(e)
            return Evaluation()
        finally:
            self.last_s = time.perf_counter() - begun
        accuracy = found.test_accuracy
        if self.protocol.keep_best and self.folder and accuracy is not None and accuracy > self.kept:
            optimizer = self.training.optimizer.state_dict()
            is_there = self._keep(self.folder / BEST, epoch, accuracy, optimizer=optimizer)
            self.kept = accuracy if is_there else self.kept
        return found

    def _tell(self, share: float) -> None:
        """Report which share of the test set has been queued. A GPU is a little behind: this does not wait for it."""
        now = time.perf_counter()
        if now - self._reported_s >= REPORT_EVERY_S:
            self._reported_s = now
            self.report(phase="evaluation", evaluated_share=share)

    @property
    def known(self) -> list[tuple[EpochRow, float]]:
        """Return the epochs that were evaluated, each with its test accuracy."""
        return [(row, row.test_accuracy) for row in self.epochs if row.test_accuracy is not None]

    def best(self) -> BestEpoch:
        """Return the best of the epochs so far, and when the target was reached."""
        best, accuracy = max(self.known, key=lambda known: (known[1], -known[0].epoch), default=(None, None))
        target = self.protocol.target_accuracy
        reached = (row.train_s for row, accuracy in self.known if target and accuracy >= target)
        return BestEpoch(
            best_test_accuracy=accuracy,
            best_epoch=best.epoch if best else None,
            target_accuracy=target,
            time_to_accuracy_s=next(reached, None),
        )

    def course(self) -> Course:
        """Judge the whole training after its end: whether it learned anything, and kept it."""
        images = self.training.images
        trained = [(row.train_loss, row.learning_rate or 0.0) for row in self.epochs if row.train_loss is not None]
        return course_of(
            [accuracy for _, accuracy in self.known],
            [loss for loss, _ in trained],
            evaluated_rates=[row.learning_rate or 0.0 for row, _ in self.known],
            rates=[rate for _, rate in trained],
            num_classes=images.num_classes,
            num_images=len(images.test_y_N),
            macro_recall=self.known[-1][0].macro_recall if self.known else None,
        )

    def keep_final(self, epoch: int, test_accuracy: float | None) -> None:
        """Keep the last weights, where the experiment asks for it."""
        if self.protocol.keep_final and self.folder:
            self._keep(self.folder / FINAL, epoch, test_accuracy)

    def _keep(self, path: Path, epoch: int, test_accuracy: float | None, **more: Any) -> bool:
        """Write the evaluated weights, in their own dtype, unwrapped; return whether they were written."""
        images = self.training.images
        classes = list(images.classes)
        try:
            with self.training.ema.evaluated() as model, replacing(path) as partial:
                state = {
                    "epoch": epoch,
                    "test_accuracy": test_accuracy,
                    "classes": classes,
                    "stoi": {name: label for label, name in enumerate(classes)},
                    "mean": list(images.mean),
                    "std": list(images.std),
                    "model": model.state_dict(),
                }
                write_state(partial, state | more)
        except Exception as e:  # a full disk; the training goes on
            said = f"{path.name} of epoch {epoch} is not kept: {e}"
            self.unkept = self.unkept or said
            print(said, file=sys.stderr)
            return False
        return True
