"""A history of the allocator, with a Python stack for every event: recorded, written, and read back.

After an out-of-memory error the context still takes its snapshot, so the history ends with the failed allocation.
"""

from __future__ import annotations

import gc
import gzip
import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ampbench.bench.store.atomic import replacing

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Snapshot = dict[str, Any]
"""As the docstring of `torch.cuda.memory._snapshot` describes it."""

GZIP = b"\x1f\x8b"
"""First bytes of a gzip file."""

MAX_EVENTS = 200_000
"""Most events of a recording; torch drops the oldest beyond that. A step of a large network has about 10,000."""


@dataclass(kw_only=True, slots=True)
class Recording:
    """The result of `recording`."""

    snapshot: Snapshot = field(default_factory=dict)
    """Taken when the context ends, also by an exception; empty until then."""

    def write(self, path: Path) -> None:
        """Write the same as `torch.cuda.memory._dump_snapshot`, whole or not at all."""
        with replacing(path) as partial, partial.open("wb") as file:
            pickle.dump(self.snapshot, file, protocol=4)  # torch's viewer has its own reader


@contextmanager
def recording(device: torch.device, *, max_entries: int = MAX_EVENTS) -> Iterator[Recording]:
    """Record every allocation on a CUDA device with its Python stack, and take a snapshot at the end.

    It costs about 2 us per event, so it is never used under the clock. C++ stacks (`stacks="all"`) took 461 s to dump.
    """
    import torch  # here: it takes seconds, and reading a snapshot does without

    recorded = Recording()
    switch = torch.cuda.memory._record_memory_history
    switch("all", context="all", stacks="python", max_entries=max_entries, clear_history=True)
    try:
        yield recorded
    finally:
        try:
            recorded.snapshot = torch.cuda.memory._snapshot(device)
        finally:
            switch(None)  # this also drops the history


def addresses(tensors: Mapping[str, Iterable[Tensor]]) -> dict[int, str]:
    """Return address -> category, as a digest takes it, of tensors that live until the snapshot is taken."""
    return {x.untyped_storage().data_ptr(): category for category, own in tensors.items() for x in own}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}, and nothing that could run is let in")


def read_snapshot(path: Path) -> Snapshot:
    """Read a snapshot from an untrusted source: only numbers, strings, lists and dictionaries; no code in it is run.

    Raises:
        ValueError: it names a class or function, is truncated, or is not a snapshot.
        OSError: there is no such file, or it cannot be read.
    """
    collecting = gc.isenabled()
    gc.disable()  # it would traverse millions of dictionaries again and again, and free none
    snapshot, reason = None, "it lacks segments or device_traces"
    try:
        with path.open("rb") as start:
            packed = start.read(2) == GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            snapshot = _PlainUnpickler(file).load()
    except OSError as e:
        if e.errno is not None:  # else it is gzip's own message
            raise
        reason = str(e)
    except Exception as e:  # bytes that are not a pickle may raise anything
        reason = str(e).rstrip(".") or type(e).__name__
    finally:
        if collecting:
            gc.enable()
    if not isinstance(snapshot, dict) or not {"segments", "device_traces"} <= snapshot.keys():
        raise ValueError(
            f"{path}: is no snapshot of memory ({reason}); copy it again, or ask for one written by "
            "torch.cuda.memory._dump_snapshot"
        )
    return snapshot
