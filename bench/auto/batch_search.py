"""The search for a batch size: trials in fresh processes, until the largest that fits is known, or the knee is.

Several recipes are searched at once, so that those of one batch size run one after another on one board. All that a
search decides follows from the records of its trials: run again, it repeats none of them and comes to the same answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ampbench.bench.auto import knee, largest_batch
from ampbench.bench.auto.memory_limit import MemoryLimit
from ampbench.bench.auto.sizes_tried import SizesTried
from ampbench.bench.auto.trials import Trial, Trials
from ampbench.bench.launch.shown.prediction import predict_memory
from ampbench.bench.launch.shown.progress import PLAIN
from ampbench.bench.plan.batch_words import BatchWord, batch_key
from ampbench.bench.plan.cell import Cell

STARTUP_S = 3.0
"""About what a process costs beside its steps."""
NUM_STEPS = 6
"""About the fewest steps of a trial whose steps are long: warm-up, samples, and the checks before them."""


@dataclass(kw_only=True)
class BatchSearch:
    """Searches of one folder; they share its trials."""

    trials: Trials
    limit: MemoryLimit | None
    """That its trials run under."""
    until_s: float = math.inf
    """No further trial is started that would end after it, by `time.monotonic`."""
    guesses: dict[str, int | None] = field(default_factory=dict)
    """Kind -> the batch size that is predicted to fit."""
    _known: tuple[Trial, ...] | None = None

    @property
    def known(self) -> tuple[Trial, ...]:
        """All trials of the folder so far."""
        if self._known is None:
            self._known = self.trials.known()
        return self._known

    def of(self, cell: Cell) -> SizesTried:
        """Return what the trials say of a cell at any batch size.

        Raises:
            RequestError: one of them failed for another reason than memory.
        """
        return SizesTried.of(cell, self.known)

    def run(self, asked: Sequence[tuple[BatchWord, Cell]]) -> None:
        """Run trials until nothing is open, or the time is over.

        Raises:
            RequestError: a trial failed for another reason than memory, or none can be run here.
            KeyboardInterrupt: what is finished is kept.
        """
        while cells := self._in_time(self.open_trials(asked)):
            before = len(self.known)
            self._known = self.trials.run(cells, self.known)
            assert len(self._known) > before, "every trial leaves a record"

    def open_trials(self, asked: Sequence[tuple[BatchWord, Cell]]) -> list[Cell]:
        """Return the next trial of every search that has one."""
        found = {}
        for word, cell in asked:
            tried = self.of(cell)
            if tried.why_never is None and (size := self.next_size(word, tried)) is not None:
                trial = tried.at(size)
                found[trial.cell_id] = trial
        return list(found.values())

    def next_size(self, word: BatchWord, tried: SizesTried) -> int | None:
        """Return the batch size to try next; None if the search for the word has ended."""
        start, floor, ceiling = tried.start, tried.floor, tried.ceiling
        if word == "knee":
            return knee.next_size(tried.speeds, start=start, floor=floor, ceiling=ceiling)
        return largest_batch.next_size(
            tried.fits, start=start, floor=floor, ceiling=ceiling, guess=lambda: self.guess(tried)
        )

    def guess(self, tried: SizesTried) -> int | None:
        """Return the batch size that should just fit; None without a limit, a trial that fits, or a prediction.

        The predicted bytes of an image are added to what the largest trial that fitted took, kernels and libraries
        included, which no prediction knows.
        """
        key = self.key(tried)
        base = max((size for size, fits in tried.fits.items() if fits), default=None)
        if key not in self.guesses and base is not None and self.limit is not None:
            self.guesses[key] = self._guess(tried, base, self.limit)
        return self.guesses.get(key)

    def key(self, tried: SizesTried) -> str:
        """Return the key of `guesses`."""
        return batch_key(tried.cell)

    def _guess(self, tried: SizesTried, base: int, limit: MemoryLimit) -> int | None:
        taken = tried.trials[base].peak_bytes
        two = tried.at(2 * tried.start), tried.at(4 * tried.start)
        said = predict_memory(two, lambda line: self.trials.console.print(line, **PLAIN))
        first, second = (said[cell.cell_id] for cell in two)
        if taken is None or not isinstance(first, int) or not isinstance(second, int) or second <= first:
            return None
        per_image = (second - first) / (two[1].batch_size - two[0].batch_size)
        return max(1, base + int((limit.trial_bytes - taken) / per_image))

    def _in_time(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return the trials that should end before the time is over, one after the other."""
        end_s, found = time.monotonic(), []
        for cell in cells:
            end_s += self._seconds(cell)
            if end_s <= self.until_s:
                found.append(cell)
        return found

    def _seconds(self, cell: Cell) -> float:
        """Return about how long a trial takes: as the quickest before it, and longer where its steps are."""
        tried = self.of(cell)
        took = [trial.cell_s for trial in tried.trials.values() if trial.cell_s]
        speeds = [speed for speed in tried.speeds.values() if speed]
        return max(STARTUP_S, min(took, default=0.0)) + (NUM_STEPS * cell.batch_size / max(speeds) if speeds else 0.0)
