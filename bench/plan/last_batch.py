"""The fewest images that a network sees at once in training: BatchNorm cannot train on one.

An epoch's last batch is smaller where `drop_last = false`, and `accumulation` computes every batch in parts.
"""

from __future__ import annotations

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.data_place import NUM_TRAINING_IMAGES


def fewest_images(cell: Cell, num_images: int) -> int:
    """Return the images of the smallest batch, or part of one, of a pass over so many images, on each GPU."""
    batches = [cell.batch_size] * (num_images >= cell.global_batch_size)
    rest = num_images % cell.global_batch_size
    batches += [rest] * (rest > 0 and not cell.drop_last)
    return min((_smallest_part(size, cell.accumulation) for size in batches), default=0)


def one_image_note(cell: Cell) -> str | None:
    """Say in a line where a network of this cell sees one image alone; None where it does not, or is not known yet."""
    known = NUM_TRAINING_IMAGES.get(cell.data)
    if known is None or fewest_images(cell, known) != 1:
        return None
    return f"batch_size = {cell.batch_size}: {one_image_because(cell, known)}"


def one_image_because(cell: Cell, num_images: int) -> str:
    """Say why a network sees one image alone, and what to change."""
    if _smallest_part(cell.batch_size, cell.accumulation) == 1:
        return (
            f"accumulation = {cell.accumulation} leaves a part of one image, of which a BatchNorm that sees one value "
            "a channel cannot train; use fewer parts"
        )
    return (
        f"drop_last = false leaves a last batch{' or part' * (cell.accumulation > 1)} of one image out of "
        f"{num_images:,}, on which a BatchNorm that sees one value a channel cannot train; use drop_last = true or "
        "another batch size"
    )


def _smallest_part(batch_size: int, num_parts: int) -> int:
    """Return the images of the last part: parts are as torch's `chunk` makes them, 12 in 5 are 3, 3, 3, 3."""
    part = -(-batch_size // num_parts)
    return batch_size % part or part
