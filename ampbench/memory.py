"""python -m ampbench memory FILE.pickle: what filled a GPU's memory, from any snapshot that torch recorded.

The file is what `torch.cuda.memory._dump_snapshot` writes after `_record_memory_history()`. No code in it is run.
"""

from __future__ import annotations

import math
import sys
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

from ampbench.bench.measure.memory_history import Digest, Moment, digest, read_snapshot
from ampbench.bench.measure.memory_history.record import Snapshot
from ampbench.bench.plan.errors import RequestError
from ampbench.schema.memory import MIB
from ampbench.terminal import WIDTH, printable, terminal_width
from ampbench.visualize.show.text_table import draw

LEFT = ("category", "call site")
MOST_SITES = 15
"""Call sites that are printed for a moment."""
STACKS_ONLY = (
    "The addresses of weights, gradients and optimizer state are not known here: they are identified by Python stacks "
    "alone. Some of those without a stack (made before the recording, by autograd's own thread or with stacks off) are "
    "counted as 'before recording', 'backward', 'activations' or 'other'."
)


def main(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A snapshot; gzip is read too.")],
    device: Annotated[
        int | None, typer.Option(min=0, help="Index of the GPU; by default the one with the most events.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Draw the memory over time into this file, such as memory.png.")
    ] = None,
) -> int:
    """Say what was live when a recorded training held the most memory, and when an allocation failed."""
    try:
        snapshot = read_snapshot(file)
        index = _busiest(snapshot) if device is None else device
        found = digest(snapshot, index)
    except OSError as e:
        raise RequestError(
            f"{file}: cannot be read ({e.strerror}); name a file that torch.cuda.memory._dump_snapshot wrote"
        ) from None
    except ValueError as e:
        words = str(e)
        raise RequestError(words if words.startswith(str(file)) else f"{file}: {words}") from None
    if out:
        _draw(found, f"{file.name}, device {index}", out)
    words = in_words(found, _others(snapshot, index), f"{file}, device {index}", terminal_width())
    sys.stdout.write(printable(words))
    if out:
        print(f"Figure: {out}")
    return 0


def in_words(found: Digest, others: str, name: str, width: int = WIDTH) -> str:
    """Return the digest of a snapshot as a page of text."""
    last = found.timeline[-1]
    over = "" if math.isnan(last.time_ms) else f" in {last.time_ms:,.1f} ms"
    parts = [f"{name}: {found.num_events:,} events{over}{others}"]
    if not found.num_events:
        parts.append("No history was recorded before this snapshot: below is what was live when it was taken.")
    parts += [_moment(moment, width) for moment in (found.peak, found.oom) if moment]
    parts.append(
        f"At the end: {_mib(last.allocated_bytes)} MiB. Largest free block of the allocator: "
        f"{_mib(found.largest_free_block_bytes)} MiB."
    )
    parts.append(textwrap.fill(STACKS_ONLY, width, break_long_words=False, break_on_hyphens=False))
    return "\n\n".join(parts) + "\n"


def _moment(moment: Moment, width: int) -> str:
    head = f"Peak: {_mib(moment.allocated_bytes)} MiB requested by tensors, after event {moment.event:,}"
    if moment.name == "oom":
        asked = "an unknown size" if moment.requested_bytes is None else f"{_mib(moment.requested_bytes)} MiB"
        free = "" if moment.device_free_bytes is None else f", {_mib(moment.device_free_bytes)} MiB free on the GPU"
        held = f"{_mib(moment.allocated_bytes)} MiB held{free}"
        head = f"Out of memory: {asked} could not be allocated at event {moment.event:,}, with {held}"
    by_category: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for holding in moment.composition:
        by_category[holding.category][0] += holding.allocated_bytes
        by_category[holding.category][1] += holding.num_allocations
    whole = max(1, moment.allocated_bytes)
    categories = [
        {"category": name, "MiB": f"{_mib(size)}", "share": f"{size / whole:.1%}", "allocations": f"{number:,}"}
        for name, (size, number) in sorted(by_category.items(), key=lambda item: -item[1][0])
    ]
    sites = [
        {"MiB": f"{_mib(held.allocated_bytes)}", "category": held.category, "call site": held.call_site}
        for held in moment.composition[:MOST_SITES]
    ]
    tables = [
        draw(rows, width, keys=keys, left=LEFT) for rows, keys in ((categories, ["category"]), (sites, [])) if rows
    ]
    return "\n".join([head, *tables]).rstrip("\n")


def _mib(size_bytes: int) -> str:
    """Return bytes in MiB, with at least three digits."""
    size = size_bytes / MIB
    return f"{size:,.1f}" if size >= 10 else f"{size:.3g}"


def _busiest(snapshot: Snapshot) -> int:
    """Return the device with the most events; without events, the first that holds memory."""
    try:
        traces, segments = snapshot["device_traces"], snapshot["segments"]
        number, _, index = max((len(trace), -i, i) for i, trace in enumerate(traces))
        return index if number else min((s.get("device", 0) for s in segments), default=0)
    except (AttributeError, KeyError, TypeError, ValueError):
        return 0  # `digest` says what is wrong with it


def _others(snapshot: Snapshot, index: int) -> str:
    lengths = {
        i: len(trace) if isinstance(trace, list) else 0
        for i, trace in enumerate(snapshot["device_traces"])
        if i != index
    }
    said = ", ".join(f"--device {i} with {length:,}" for i, length in lengths.items() if length)
    return f"; there is also {said}" if said else ""


def _draw(found: Digest, name: str, out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import pandas as pd

    from ampbench.visualize.figures import theme
    from ampbench.visualize.figures.memory_timeline import draw_levels
    from ampbench.visualize.show.pictures import DPI

    theme.use()
    fig, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    draw_levels(pd.DataFrame(list(found.timeline)).assign(recipe=name), ax)
    try:
        fig.savefig(out, dpi=DPI)
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise RequestError(f"--out {out}: cannot be written ({reason}); name a file such as memory.png") from None
    finally:
        plt.close(fig)
