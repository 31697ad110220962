"""What keeps a run from its speed or its memory: the loader, launches, a leak, a board that slows down."""

from __future__ import annotations

import itertools
import math
import statistics

from ampbench.schema.diagnosis.found import Diagnosis, Records, Rows
from ampbench.schema.memory import MIB

HELD_DOWN = 0.05
"""Share of the time at a limit of the board from which a speed is spoiled: clocks that are a fifth lower for 5 % of the
time cost 1 %, from which on two speeds differ."""
INVALID = 0.5
"""Share of the timing samples lost to slowdowns from which those that are left are no fair sample."""

LEAST_EPOCHS = 6
"""Epochs without which a rise of the memory is no trend: two in each third."""
SETTLING = 1
"""First epochs that are not judged: libraries, caches and the first evaluation get their memory then."""
STEADY = 0.3
"""Least share of the growth that lies in each half of the epochs: less of it is a level that is being reached."""
Z_GROWN = 3.0
"""Standard deviations of a difference of medians that each half's growth must exceed."""
GROWN = {"cuda_allocator": (0.01, 1 * MIB), "rss": (0.03, 16 * MIB)}
"""Instrument -> share and bytes by which the memory must have grown. The allocator's level is exact; a resident set
also moves by what the C library keeps of freed blocks."""


def starved(run: Records) -> Diagnosis | None:
    """Say that a step waits for its images."""
    if run.of("bound") != "input":
        return None
    parts = {name: run.of(name) for name in ("data_ms", "forward_ms", "backward_ms", "update_ms")}
    because = run.of("bound_because") or "the batch takes a quarter of a step or more"
    known = [value for value in parts.values() if value is not None]
    words = f", {parts['data_ms']:.3g} of {sum(known):.3g} ms" if len(known) == len(parts) else ""
    if run.of("loader") == "dataloader":
        workers = run.of("num_workers")
        move = f"try more num_workers than {workers:.0f}" if workers is not None else "try more num_workers"
        move += ', or loader = "device", which keeps the images there'
    else:
        move = "augment less, or measure a larger network: the images are on the device already"
    return Diagnosis(
        kind="starved",
        sentence=f"starved by the loader: {because}{words}",
        rows=(Rows(table="cells", columns=("bound", *parts)),),
        next_move=move,
    )


def launch_bound(run: Records) -> Diagnosis | None:
    """Say that the device waits for its kernels to be launched."""
    if run.of("bound") != "launch":
        return None
    because = run.of("bound_because") or "the device is idle for a quarter of a step or more"
    compiled = run.of("compile") in ("reduce-overhead", "max-autotune")
    graphs = "" if compiled else ', or compile = "reduce-overhead", which replays the kernels as a CUDA graph'
    return Diagnosis(
        kind="launch-bound",
        sentence=f"launch-bound: {because}, because its kernels are shorter than their launches",
        rows=(Rows(table="cells", columns=("bound", "kernel_ms", "step_ms")),),
        next_move=f"try a larger batch size{graphs}",
    )


def memory_grows(run: Records) -> Diagnosis | None:
    """Say that the memory after an epoch rises from epoch to epoch, as something that is kept by mistake makes it.

    The median of each third of the epochs must lie well above that of the one before: a level that is reached once, or
    moves up and down, is no growth. A training that was resumed is in another process, and is not judged.
    """
    epochs, levels = run.curve("memory_bytes")
    epochs, levels = epochs[SETTLING:], levels[SETTLING:]
    instrument = str(run.of("memory_instrument"))
    if len(levels) < LEAST_EPOCHS or instrument not in GROWN or run.of("num_resumes"):
        return None
    third = len(levels) // 3
    first, middle, last = map(statistics.median, (levels[:third], levels[third:-third], levels[-third:]))
    share, least = GROWN[instrument]
    total, each = last - first, min(middle - first, last - middle)
    if total <= max(share * first, least) or each < STEADY * total or each <= Z_GROWN * _median_sd(levels, third):
        return None
    an_epoch = total / (len(levels) - third)  # between the middles of the outer thirds
    return Diagnosis(
        kind="memory growing",
        sentence=f"memory grows by {an_epoch / MIB:,.3g} MiB an epoch: {first / MIB:,.0f} MiB at first, "
        f"{last / MIB:,.0f} MiB in the last {third} epochs",
        rows=(Rows(table="epochs", columns=("memory_bytes",), first=epochs[0], last=epochs[-1]),),
        next_move='something keeps tensors, such as a list of losses with their graphs: passes = ["memory"] names the '
        "lines that hold them",
    )


def _median_sd(levels: list[float], num: int) -> float:
    """Return the standard deviation of the difference of two medians of `num` levels, from their own scatter.

    It is the scatter of the changes about their median, so that a trend does not add to it.
    """
    changes = [after - before for before, after in itertools.pairwise(levels)]
    trend = statistics.median(changes)
    sd = statistics.median(abs(change - trend) for change in changes) / 0.6745 / math.sqrt(2)
    return sd * math.sqrt(math.pi / 2) * math.sqrt(2 / num)


def throttled(run: Records) -> Diagnosis | None:
    """Say that the board ran below its clocks for too long."""
    heat = run.of("temperature_c")
    hot = f", at up to {heat:.0f} °C" if heat is not None else ""
    invalid, valid = run.of("num_invalid_blocks") or 0, run.of("num_blocks") or 0
    held = {what: run.of(f"{name}_violation_share") or 0.0 for name, what in LIMITS.items()}
    worst = max(held, key=lambda what: held[what])
    if run.of("status") == "throttled":
        why = str(run.of("because") or "the clocks were held down for too long")
        columns: tuple[str, ...] = ("status", "because", "num_invalid_blocks")
    elif held[worst] >= HELD_DOWN:
        why = f"{100 * held[worst]:.0f} % of the steady time was spent at {worst}"
        columns = tuple(f"{name}_violation_share" for name, what in LIMITS.items() if what == worst)
    elif invalid and invalid / (invalid + valid) >= INVALID:
        why = f"{invalid:.0f} of {invalid + valid:.0f} timing samples were taken while the board slowed down"
        columns = ("num_invalid_blocks", "num_blocks")
    else:
        return None
    return Diagnosis(
        kind="throttled",
        sentence=f"throttled: {why}{hot}",
        rows=(Rows(table="cells", columns=(*columns, "temperature_c")),),
        next_move="let the board cool, look after its fans and its neighbours, and run it again",
    )


LIMITS = {"thermal": "the limit on temperature", "reliability": "the limit on voltage"}
"""Counter of NVML -> what it limits. The power cap is not among them: it is a board's normal state under load."""
