"""What trials say of one network in one recipe: which batch sizes fit, how fast they are, what cannot be tried."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ampbench.bench.auto.knee import FIRST
from ampbench.bench.auto.trials import Trial, as_trial
from ampbench.bench.launch.oom_guard import NOT_TRIED, OBSERVED
from ampbench.bench.plan.batch_words import batch_key
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.image_cache import num_training_images

MOST = 2**20
"""Images of a batch where the size of the data set is not known yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SizesTried:
    """The trials of the cells that differ from `cell` in nothing but the batch size."""

    cell: Cell
    trials: dict[int, Trial]
    """By batch size; without those that are larger than the training set, which tell nothing."""
    ceiling: int
    """The largest batch size that the training set fills."""

    @classmethod
    def of(cls, cell: Cell, trials: Iterable[Trial]) -> SizesTried:
        """Choose those of this kind.

        Raises:
            RequestError: a trial failed for another reason than memory.
        """
        key = batch_key(cell)
        own = {trial.cell.batch_size: trial for trial in trials if batch_key(trial.cell) == key}
        known = [trial.num_train_images for trial in own.values() if trial.num_train_images]
        num_images = known[0] if known else num_training_images(cell.data)
        ceiling = MOST if num_images is None else max(1, num_images // cell.gpus)
        found = cls(cell=cell, trials={size: own[size] for size in sorted(own) if size <= ceiling}, ceiling=ceiling)
        found._refuse()
        return found

    @property
    def floor(self) -> int:
        """The smallest batch size that has an image for every part of a step."""
        return min(self.cell.accumulation, self.ceiling)

    @property
    def start(self) -> int:
        """The first one to try."""
        return min(max(FIRST, self.floor), self.ceiling)

    @property
    def fits(self) -> dict[int, bool]:
        """Batch size -> whether it fitted."""
        return {size: trial.fits for size, trial in self.trials.items()}

    @property
    def speeds(self) -> dict[int, float | None]:
        """Batch size -> images/s; None where there is no such speed."""
        return {size: trial.images_per_s if trial.fits else None for size, trial in self.trials.items()}

    @property
    def unsupported(self) -> str | None:
        """Why the machine cannot do this recipe at all; None if it can."""
        return next((trial.because for trial in self.trials.values() if trial.status == "unsupported"), None)

    @property
    def why_never(self) -> str | None:
        """Why no batch size would end otherwise: an unsupported recipe, data too large by itself; None if some may."""
        too_large = (
            trial.because
            for trial in self.trials.values()
            if trial.status == "oom" and not str(trial.because).startswith((OBSERVED, NOT_TRIED))
        )
        return self.unsupported or next(too_large, None)

    @property
    def why_none(self) -> str:
        """Say why no batch size can be used, by the smallest that was tried."""
        size, trial = next(iter(self.trials.items()))
        return f"batch size {size}, the smallest that was tried, {how_it_ended(trial)}"

    def at(self, batch_size: int) -> Cell:
        """Return the trial's cell of a batch size."""
        return as_trial(self.cell, batch_size)

    def _refuse(self) -> None:
        """Raise what is no lack of memory. Below the first size it is: BatchNorm cannot train on a single image."""
        for size, trial in self.trials.items():
            if trial.status in ("failed", "crashed") and not trial.is_out_of_memory and size >= self.start:
                fixed = (
                    "" if any(self.fits.values()) else "; if that is for the batch size, write a number that it takes"
                )
                raise RequestError(f"{trial.cell}: a trial of this batch size {trial.status}: {trial.because}{fixed}")


def how_it_ended(trial: Trial) -> str:
    """Say in a clause how a trial ended that cannot be used."""
    if trial.is_out_of_memory:
        return "runs out of memory"
    said = {"timeout": "takes too long", "diverged": "diverges", "failed": "fails", "crashed": "crashes"}
    return said.get(trial.status, f"is {trial.status}") + (f" ({trial.because})" if trial.because else "")
