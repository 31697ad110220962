"""What a session says of its steps, once they are over, in whatever way they ended."""

from __future__ import annotations

from ampbench.bench.train.training import Training
from ampbench.bench.worker.timing import Timing
from ampbench.bench.worker.traces import Traces, scale_story, speed


def sum_up(timing: Timing, training: Training, traces: Traces, since_s: float) -> None:
    """Condense what was timed into the row of `timing`, and the board's samples into `traces`.

    Args:
        timing: stops watching the board here.
        training: whose steps are over.
        traces: of every step.
        since_s: when the session began, by `time.perf_counter`.
    """
    row, steps, cell = timing.row, traces.steps, training.cell
    traces.board = timing.sum_up(since_s)
    blocks = timing.clock.blocks
    row |= {"num_steps": len(steps), "model_output": training.criterion.taken}
    row |= speed(blocks, cell) | scale_story(steps, training.precision.scaler.factor)
    if cell.gpus > 1:
        row |= {"joules_per_image": None, "images_per_joule": None}  # one of the boards was sampled
    elif row.get("time_to_accuracy_s") is not None and row.get("power_w") is not None:
        row["energy_to_accuracy_j"] = row["power_w"] * row["time_to_accuracy_s"]
    # In no block are those of the proofs, and those in which the compiler worked.
    row["warmup_steps"] += len(steps) - sum(block.num_steps for block in blocks)
    if cell.has_cuda_graphs and timing.device.type == "cuda":
        row["steady_peak_bytes"] = None  # a replayed graph asks the allocator for nothing
