"""A history of the allocator condensed: the level over time, and what the memory was used for at its peak.

**Bytes** are those that tensors requested, from `alloc` to `free_completed`: torch's viewer draws the same line, and
its highest point is `memory_stats()["requested_bytes.all.peak"]`. `max_memory_allocated` lies above it: the allocator
rounds a block up to 512 bytes and may leave up to 1 MiB of it unsplit. A block whose free was requested and not yet
completed waits for another stream and cannot be reused, so it counts.

**What lived before** the first event has no event of its own. It is a block that is freed without having been
allocated, or that is live at the end without either.
"""

from __future__ import annotations

import itertools
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ampbench.bench.measure.memory_history.over_time import by_category
from ampbench.bench.measure.memory_history.purpose import ACTIVATIONS, AUTOCAST_CACHE, Allocation, Purposes
from ampbench.schema.memory_history import AllocationRow, MemoryRow

Snapshot = dict[str, Any]
"""As the docstring of `torch.cuda.memory._snapshot` describes it."""

NUM_BUCKETS = 200
"""Of a time line."""
MOST_HOLDINGS = 100
"""Call sites of a moment that have a row of their own."""
PEAK, OOM = "peak", "oom"


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """The memory of one call site at a moment."""

    category: str
    call_site: str
    """`models/vgg.py:42 forward`: the innermost Python frame outside torch."""
    allocated_bytes: int
    num_allocations: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """All allocations that were live at one moment."""

    name: str
    """PEAK, when the most was held for the first time, or OOM, when an allocation failed for the first time."""
    event: int
    """Events that had happened."""
    allocated_bytes: int
    composition: tuple[Holding, ...]
    """Largest first, together `allocated_bytes`; call sites beyond MOST_HOLDINGS are one row a category."""
    requested_bytes: int | None
    """Bytes of the failed allocation, at an OOM."""
    device_free_bytes: int | None
    """Bytes that CUDA reported as free, at an OOM."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """A history in a few hundred rows."""

    num_events: int
    timeline: tuple[MemoryRow, ...]
    """Its times are NaN before torch 2.2, which wrote none."""
    by_category: tuple[MemoryRow, ...]
    """The part of each category after the same events; after each of them they sum to the time line."""
    peak: Moment
    oom: Moment | None
    static_known: bool
    """Whether the addresses of weights, gradients and optimizer state were known; else only their stacks."""
    largest_free_block_bytes: int
    """Bytes that the allocator held unused when the snapshot was taken; 0 if there was no such block."""

    @property
    def allocation_rows(self) -> list[AllocationRow]:
        """Rows of allocations.parquet."""
        moments = (self.peak,) if self.oom is None else (self.peak, self.oom)
        return [
            AllocationRow(moment=moment.name, static_known=self.static_known, **asdict(held))
            for moment in moments
            for held in moment.composition
        ]


def digest(
    snapshot: Snapshot, device: int = 0, *, known: Mapping[int, str] | None = None, cast_bytes: Iterable[int] = ()
) -> Digest:
    """Condense a snapshot into a time line, and what was live at its peak and at the first OOM.

    Args:
        snapshot: from `recording` or `read_snapshot`.
        device: its index in the process that recorded.
        known: address -> category of tensors that lived when the snapshot was taken.
        cast_bytes: sizes of autocast's copies of weights. Their stacks are those of activations, so for each size one
            activation of that size is counted as the copy.

    Raises:
        ValueError: the snapshot is not in torch's format, or has no such device.
    """
    try:
        devices = len(snapshot["device_traces"])
        if not 0 <= device < devices:
            raise ValueError(f"the snapshot has {devices} devices and none with index {device}: choose another")
        history = _History(snapshot, device, known or {})
        casts = tuple(cast_bytes)
        timeline = reduced(history.times_ms, history.levels)
        return Digest(
            num_events=len(history.trace),
            timeline=timeline,
            by_category=tuple(history.parts_of(timeline, casts)),
            peak=history.moment(PEAK, int(np.argmax(history.levels)), casts),
            oom=None if history.oom is None else history.moment(OOM, history.oom, casts),
            static_known=bool(known),
            largest_free_block_bytes=max((b["size"] for b in history.blocks if b["state"] == "inactive"), default=0),
        )
    except (AttributeError, KeyError, OverflowError, TypeError) as e:
        reason = f"{type(e).__name__}: {e}"
        raise ValueError(f"not in the format of torch's snapshots ({reason}): record it with torch >= 2.1") from e


def reduced(times_ms: Any, levels: Any, num_buckets: int = NUM_BUCKETS) -> tuple[MemoryRow, ...]:
    """Reduce a line to at most 2 * num_buckets + 2 points.

    All buckets have the same number of events. Of each it keeps the first highest and the first lowest point, and of
    the line both ends. So the peak is exact, and so is the maximum so far at every bucket's end.
    """
    borders = np.unique(np.linspace(0, len(levels), num_buckets + 1).astype(int))
    chosen = {0, len(levels) - 1}
    for begin, end in itertools.pairwise(borders.tolist()):
        run = levels[begin:end]
        chosen |= {begin + int(np.argmax(run)), begin + int(np.argmin(run))}
    return tuple(MemoryRow(event=k, time_ms=float(times_ms[k]), allocated_bytes=int(levels[k])) for k in sorted(chosen))


def _blocks(snapshot: Snapshot, device: int) -> Iterator[dict[str, Any]]:
    """Yield the blocks of a device; older torch does not write their addresses, nor the requested sizes."""
    for segment in snapshot["segments"]:
        if segment.get("device", device) == device:
            address = segment.get("address", 0)
            for block in segment["blocks"]:
                yield {"address": address, "requested_size": block["size"]} | block
                address += block["size"]


class _History:
    """When every allocation of one device was made and freed, and its purpose. Moment k is after k events."""

    def __init__(self, snapshot: Snapshot, device: int, known: Mapping[int, str]) -> None:
        self.trace = trace = snapshot["device_traces"][device]
        self.blocks = list(_blocks(snapshot, device))
        self.purposes = Purposes(trace, known)
        self.oom: int | None = None
        self.before: list[Allocation] = []
        num_events = len(trace)
        # A million events pass through this loop, so it keeps only two numbers of each.
        change, freed_at = array("q", bytes(8 * num_events)), array("q", bytes(8 * num_events))
        live: dict[int, int] = {}
        for i, event in enumerate(trace):
            action = event["action"]
            if action == "alloc":
                change[i], freed_at[i] = event["size"], num_events
                live[event["addr"]] = i
            elif action == "free_completed":
                made_at = live.pop(event["addr"], -1)
                if made_at >= 0:
                    change[i], freed_at[made_at] = -change[made_at], i
                else:
                    change[i] = -event["size"]
                    self.before.append(Allocation(event["addr"], event["size"], -1, i, []))
            elif action == "oom" and self.oom is None:
                self.oom = i
        self.before += [
            Allocation(b["address"], b["requested_size"], -1, num_events, b.get("frames"))
            for b in self.blocks
            if b["state"].startswith("active") and b["address"] not in live
        ]
        self.freed_at = np.array(freed_at, np.int64)
        self.levels = sum(a.size_bytes for a in self.before) + np.concatenate(([0], np.cumsum(change, dtype=np.int64)))
        timed = all("time_us" in event for event in trace)
        times_us = np.fromiter((event["time_us"] if timed else 0 for event in trace), np.int64, num_events)
        self.times_ms = (
            np.concatenate(([0.0], (times_us - times_us[:1]) / 1e3)) if timed else np.full(num_events + 1, np.nan)
        )

    def live_at(self, moment: int) -> Iterator[Allocation]:
        """Yield what was live after so many events, oldest first."""
        yield from (a for a in self.before if a.freed_at >= moment)
        yield from self._recorded(np.flatnonzero(self.freed_at[:moment] >= moment))

    def _recorded(self, events: NDArray[np.int64]) -> Iterator[Allocation]:
        """Yield the allocations that these events made."""
        for i in events.tolist():
            event = self.trace[i]
            yield Allocation(event["addr"], event["size"], i, int(self.freed_at[i]), event.get("frames"))

    def parts_of(self, timeline: Sequence[MemoryRow], cast_bytes: tuple[int, ...]) -> Iterator[MemoryRow]:
        """Yield what each category holds at the points of a time line, category by category."""
        every = itertools.chain(self.before, self._recorded(np.flatnonzero(self.freed_at)))
        known = ((a, self.purposes.category(a)) for a in every)
        for category, levels in by_category(known, [row.event for row in timeline], cast_bytes).items():
            for row, level in zip(timeline, levels.tolist(), strict=True):
                yield replace(row, allocated_bytes=level, category=category)

    def moment(self, name: str, moment: int, cast_bytes: tuple[int, ...]) -> Moment:
        """Return the composition of what was live after so many events."""
        casts = Counter(cast_bytes)
        num_bytes: Counter[tuple[str, str]] = Counter()
        number: Counter[tuple[str, str]] = Counter()
        for a in self.live_at(moment):
            category = self.purposes.category(a)
            if category == ACTIVATIONS and casts[a.size_bytes]:
                casts[a.size_bytes] -= 1
                category = AUTOCAST_CACHE
            place = category, self.purposes.call_site(a)
            num_bytes[place] += a.size_bytes
            number[place] += 1
        for category, site in sorted(num_bytes, key=lambda place: (-num_bytes[place], place))[MOST_HOLDINGS:]:
            rest = category, "further call sites"
            num_bytes[rest] += num_bytes.pop((category, site))
            number[rest] += number.pop((category, site))
        failed = self.trace[moment] if name == OOM else {}
        return Moment(
            name=name,
            event=moment,
            allocated_bytes=int(self.levels[moment]),
            composition=tuple(
                Holding(category=category, call_site=site, allocated_bytes=size, num_allocations=number[category, site])
                for (category, site), size in sorted(num_bytes.items(), key=lambda item: (-item[1], item[0]))
            ),
            requested_bytes=failed.get("size"),
            device_free_bytes=failed.get("device_free"),
        )
