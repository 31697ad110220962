"""What the network learned: evaluated between epochs, off the clock; the best epoch and the last one named apart."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.store.atomic import replacing
from ampbench.bench.train.checkpoint import write_state
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.train.training import Training
from ampbench.bench.worker.timing import Report
from ampbench.bench.worker.traces import Rows
from ampbench.schema.learned import course_of
from ampbench.schema.learning import Evaluation

BEST, FINAL = "best.pt", "model_final.pt"
"""In a run's folder, if asked for."""

TOLD_EVERY_S = 0.5
"""Between two words about how far an evaluation is."""

UNKNOWN = dict.fromkeys(column.name for column in fields(Evaluation))


@dataclass
class Evaluations:
    """The evaluations of one training. Its epochs are `epochs`, rows of the table, from which a resume knows them."""

    training: Training
    protocol: MeasurementProtocol
    epochs: Rows
    folder: Path | None
    """Of the run; None: the best weights are not kept."""
    evaluation_s: float = 0.0
    """Of all evaluations."""
    report: Report = lambda **_: None
    """Hears how far an evaluation is."""
    last_s: float | None = field(init=False, default=None)
    """Of the last epoch's evaluation; None if there was none."""
    broken: str | None = field(init=False, default=None)
    """What was not finite in the last evaluation, in words."""
    unkept: str | None = field(init=False, default=None)
    """Why weights could not be written, the first time."""
    kept: float = field(init=False, default=-1.0)
    """Test accuracy of the weights in best.pt; below all where there are none."""

    def __post_init__(self) -> None:
        """Let go of weights of another attempt, or of epochs that a resumed training takes once more."""
        if self.folder:
            (self.folder / FINAL).unlink(missing_ok=True)
        path = self.folder / BEST if self.folder else None
        if path is None or not path.exists():
            return
        try:
            found = torch.load(path, map_location="cpu", mmap=True, weights_only=True) if self.epochs else {}
            known = bool(self.epochs) and found["epoch"] <= self.epochs[-1]["epoch"]
            self.kept = float(found["test_accuracy"]) if known else self.kept
        except Exception as e:  # a damaged file, or one of another kind
            print(f"{path}: cannot be read ({type(e).__name__}: {e}); it is replaced", file=sys.stderr)
            known = False
        if not known:
            path.unlink()

    def evaluate(self, epoch: int) -> dict[str, Any]:
        """Evaluate after an epoch, counted from 1, if it is one of those to be evaluated; else the values are None."""
        if epoch % self.protocol.evaluate_every and epoch != self.training.cell.epochs:
            self.last_s = None
            return UNKNOWN
        begun = self._told_s = time.perf_counter()
        self.report(phase="evaluation", evaluated_share=0.0)
        self.training.on_progress = self._tell
        try:
            found = self.training.evaluate()
        except Diverged as e:  # the epoch before it stays known
            self.broken = str(e)
            return UNKNOWN
        finally:
            self.last_s = time.perf_counter() - begun
            self.evaluation_s += self.last_s
        accuracy = found.test_accuracy or 0.0  # never None of an evaluation that ended
        if self.protocol.keep_best and self.folder and accuracy > self.kept:
            optimizer = self.training.optimizer.state_dict()
            is_there = self._keep(self.folder / BEST, epoch, accuracy, optimizer=optimizer)
            self.kept = accuracy if is_there else self.kept
        return asdict(found)

    def _tell(self, share: float) -> None:
        """Say which share of the test set has been queued. On a GPU the device is a little behind: nobody waits."""
        now = time.perf_counter()
        if now - self._told_s >= TOLD_EVERY_S:
            self._told_s = now
            self.report(phase="evaluation", evaluated_share=share)

    def sum_up(self) -> dict[str, Any]:
        """Return what the row says of the epochs so far, the last one's evaluation aside."""
        known = [e for e in self.epochs if e["test_accuracy"] is not None]
        best = max(known, key=lambda e: (e["test_accuracy"], -e["epoch"]), default={})
        target = self.protocol.target_accuracy
        reached = (e["train_s"] for e in known if target and e["test_accuracy"] >= target)
        return {
            "best_test_accuracy": best.get("test_accuracy"),
            "best_epoch": best.get("epoch"),
            "target_accuracy": target,
            "time_to_accuracy_s": next(reached, None),
        }

    def judge(self) -> dict[str, Any]:
        """Return what the row says of the whole course, once it is over: whether anything was learned, and stayed."""
        known = [e for e in self.epochs if e["test_accuracy"] is not None]
        images = self.training.images
        course = course_of(
            [e["test_accuracy"] for e in known],
            [e["train_loss"] for e in self.epochs],
            num_classes=images.num_classes,
            num_images=len(images.test_y_N),
            macro_recall=known[-1]["macro_recall"] if known else None,
        )
        return asdict(course) | {"weights_note": self.unkept}

    def keep_final(self, epoch: int, test_accuracy: float | None) -> None:
        """Keep what the training ended with, if that was asked for."""
        if self.protocol.keep_final and self.folder:
            self._keep(self.folder / FINAL, epoch, test_accuracy)

    def _keep(self, path: Path, epoch: int, test_accuracy: float | None, **more: Any) -> bool:
        """Write the weights that were evaluated, in their own dtype, unwrapped; return whether they are there."""
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
        except Exception as e:  # a full disk; it trains on
            said = f"{path.name} of epoch {epoch} is not kept: {e}"
            self.unkept = self.unkept or said
            print(said, file=sys.stderr)
            return False
        return True
