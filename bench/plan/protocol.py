"""How a cell is measured, and when to stop: the tables `[measure]` and `[budget]` of an experiment file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from ampbench.schema.rounds import ADAPTIVE, LOOKS


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasurementProtocol:
    """`[measure]`: how a cell is measured. None of it changes what is trained."""

    target_ci: Annotated[float, Gt(0), Lt(1)] = 0.005
    """Stop timing when the 95 % interval of the mean is within this share of it; for cells with epochs = 0."""
    rounds: Annotated[int, Ge(1), Le(1000)] | Literal["adaptive"] = 1
    """Fresh processes a cell is timed in, or "adaptive": 2 to 12, as many as the advice needs; for cells with
    epochs = 0. After 2, 3, 4, 6, 8 and 12 rounds only the recipes go on that may still be advised and are not told
    apart from the reference, and with them the reference."""
    block_ms: Annotated[float, Ge(1), Le(1e6)] = 200.0
    """A timing sample is the mean over a block of steps that lasts at least this long."""
    max_timing_s: Annotated[float, Gt(0), Le(1e6)] = 30.0
    """Stop timing after this long whatever the interval; for cells with epochs = 0."""
    max_warmup_s: Annotated[float, Gt(0), Le(1e6)] = 60.0
    """Call the speed steady after this long, and record that it was not."""
    target_accuracy: Annotated[float, Gt(0), Le(1)] | None = None
    """Share of the test images; the training time until it is reached becomes `time_to_accuracy_s`."""
    evaluate_every: Annotated[int, Ge(1), Le(2**31 - 1)] = 1
    """Evaluate after every so many epochs, and after the last one."""
    keep_best: bool = False
    """Whether the weights of the epoch with the highest test accuracy stay in the run's folder, as best.pt: epoch,
    test_accuracy, classes, stoi (class -> label), and the states of model and optimizer, to be read by `torch.load`."""
    keep_final: bool = False
    """Whether the weights of the last epoch stay too, as model_final.pt: the same without the optimizer."""
    numerics_samples: Annotated[int, Ge(0), Le(1000)] = 0
    """Samples of every layer's gradient, spread evenly from before the first epoch to after the last, off the clock.
    Each compares one batch with strict fp32 and needs memory for copies of the model and the optimizer's state, and for
    fp32 activations; where it does not fit it is left out. In a cell with epochs = 0 they are spread over
    `start_steps`, none within the timed steps; without `start_steps` they are two, before and after these."""
    numerics_activations: bool = False
    """Whether those samples also hold every layer's output and the gradient that reaches it."""
    start_steps: Annotated[int, Ge(0), Le(1_000_000)] = 0
    """Steps of the start of a training, by whose loss the recipes of each seed are compared with fp32. A cell with
    epochs = 0 whose timing took fewer goes on to as many, off the clock, at the cell's own learning rate; a further
    round does not, for it would train the same again. Of a cell with epochs > 0 they are its first steps."""
    passes: tuple[Literal["phases", "roofline", "memory", "snapshot"], ...] = ("phases",)
    """Untimed steps after the last timed one. `phases`: where a step's time goes, and what it waits for. `roofline`:
    the peak of the board in the cell's dtype, by large matrix products. `memory`: every allocation of a step, who made
    it and what was there at the peak; on a CPU from a second training, built under the profiler. `snapshot`: on a GPU
    that history as memory.pickle too, 10 to 400 MB a cell, for pytorch.org/memory_viz; a CPU has none, and its row says
    so."""

    @property
    def is_adaptive(self) -> bool:
        """Whether the verdicts decide how often a cell is timed."""
        return self.rounds == ADAPTIVE

    @property
    def first_rounds(self) -> int:
        """Rounds that every timing has, whatever the verdicts say."""
        return LOOKS[0] if self.rounds == ADAPTIVE else self.rounds

    @property
    def most_rounds(self) -> int:
        """Rounds that no timing goes beyond."""
        return LOOKS[-1] if self.rounds == ADAPTIVE else self.rounds


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """`[budget]`: when to stop."""

    minutes_per_cell: Annotated[float, Gt(0), Le(1e6)] = 240.0
    """A cell that takes longer is killed and recorded as `timeout`."""
    gpu_hours: Annotated[float, Gt(0), Le(1e6)] | None = None
    """No cell is started once the boards have worked this long in all."""
    memory_gib_per_cell: Annotated[float, Gt(0), Le(1e6)] | None = None
    """Limit of a worker's data segment on the CPU, so that the cell runs out of memory before the machine does; on each
    GPU, of what torch's allocator may reserve."""
    checkpoint_minutes: Annotated[float, Ge(0), Le(1e6)] = 5.0
    """A training is kept at the end of an epoch when this long has passed since the last time; 0 keeps every epoch."""
