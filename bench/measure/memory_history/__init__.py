"""What a GPU's memory was used for: torch's own history of its allocator, recorded, read back and condensed.

with recording(device) as history:              around a few steps after warm-up, off the clock
    ...
history.write(path)                             opens at pytorch.org/memory_viz: 100 MB and more
digest(history.snapshot, known=addresses(…))    the same history in a few hundred rows
"""

from ampbench.bench.measure.memory_history.record import Recording, addresses, read_snapshot, recording
from ampbench.bench.measure.memory_history.replay import Digest, Holding, Moment, digest, reduced

__all__ = [
    "Digest",
    "Holding",
    "Moment",
    "Recording",
    "addresses",
    "digest",
    "read_snapshot",
    "recording",
    "reduced",
]
