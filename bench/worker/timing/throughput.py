"""The throughput of a cell: the median over the valid blocks, which `measure.clock.samples` chooses."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ampbench.bench.measure.clock import Block, samples
from ampbench.bench.measure.stopping import ci_share, num_outliers
from ampbench.bench.plan.cell import Cell
from ampbench.schema.speed import Speed
from ampbench.schema.steps import BlockRow


def speed(blocks: Sequence[Block], cell: Cell, *, num_untimed_steps: int = 0) -> Speed:
    """Condense the blocks; without a sample the speed stays null.

    Args:
        blocks: of the whole training.
        cell: that was trained.
        num_untimed_steps: steps in no block, such as those of the dtype check and of the compiler.
    """
    warmup_steps = num_untimed_steps + sum(block.num_steps for block in blocks if not block.steady)
    timed = samples(blocks)
    if not timed:
        return Speed(warmup_steps=warmup_steps, no_speed_because=why_no_speed(blocks) if blocks else None)
    rates = [block.images_per_s for block in timed]
    q1, median, q3 = statistics.quantiles(rates, n=4, method="inclusive") if len(rates) > 1 else rates * 3
    return Speed(
        images_per_s=median,
        images_per_s_q1=q1,
        images_per_s_q3=q3,
        num_blocks=len(timed),
        num_outliers=num_outliers(rates),
        step_ms=1e3 * cell.global_batch_size / median,
        ci_share=ci_share(rates),
        warmup_steps=warmup_steps,
        gap_share=1 - sum(b.device_s for b in timed) / sum(b.wall_s for b in timed),
    )


def why_no_speed(blocks: Sequence[Block]) -> str:
    """Return why no block is a timing sample."""
    steady = [block for block in blocks if block.steady]
    if not steady:
        return f"none of {len(blocks)} blocks of steps came after warm-up: take more steps"
    with_skips = sum(block.num_skipped > 0 for block in steady)
    if with_skips:
        skipped, num_steps = (sum(getattr(b, key) for b in steady) for key in ("num_skipped", "num_steps"))
        return (
            f"the scaler skipped {skipped:.0f} of {num_steps} steps after warm-up, and {with_skips} of {len(steady)} "
            "blocks have one: a skipped step does not update, so its time is no sample"
        )
    return f"none of {len(steady)} blocks after warm-up counts, in the last one: {steady[-1].invalid}"


def wall_images_per_s(blocks: Sequence[Block]) -> float | None:
    """Return the images of blocks over their wall time; None without blocks, as in an epoch of one step."""
    return sum(b.num_images for b in blocks) / sum(b.wall_s for b in blocks) if blocks else None


def block_rows(blocks: Sequence[Block]) -> list[BlockRow]:
    """Return the raw blocks; those of the warm-up are marked."""
    return [
        BlockRow(
            block=i,
            epoch=block.epoch + 1,
            num_steps=block.num_steps,
            num_images=block.num_images,
            num_skipped=block.num_skipped,
            device_s=block.device_s,
            wall_s=block.wall_s,
            images_per_s=block.images_per_s,
            steady=block.steady,
            invalid=block.invalid,
        )
        for i, block in enumerate(blocks, 1)
    ]
