"""A cell's samples, condensed into the columns of the board."""

from __future__ import annotations

from collections.abc import Sequence

from ampbench.bench.machine.energy import energy_instrument, energy_of, mean_power_w
from ampbench.bench.machine.throttling import tags, violation_share, why_each_invalid
from ampbench.bench.machine.windows import Samples, Window, largest, median, spans, total_s, within_all
from ampbench.schema.board import BoardState


def summary(
    samples: Samples, windows: Sequence[Window], num_images: Sequence[int], idle_window: Window | None = None
) -> BoardState:
    """Return the board's state in a cell's steady blocks; a field is None where the samples do not contain it.

    Power and energy are over the valid blocks, the other fields over all of them. Energy per image is mean power
    times the blocks' time per image, so stretches too short for the instrument get the mean power.

    Args:
        samples: of the whole run, at least one before and one after the windows.
        windows: of the steady blocks, in order.
        num_images: of each of these blocks.
        idle_window: in which the board was idle, with CUDA's context open.
    """
    inside = within_all(samples, windows)
    if not inside:
        return BoardState()
    invalid = why_each_invalid(samples, windows)
    counted = [window for window, why in zip(windows, invalid, strict=True) if why is None]
    images = sum(n for n, why in zip(num_images, invalid, strict=True) if why is None)
    energy = energy_of(samples, counted, mean_power_w(samples, *idle_window) if idle_window else None)
    power_w = energy.energy_j / energy.known_s if energy else None
    joules = power_w * total_s(counted) / images if power_w and images else None
    clocks_known = any(s.sm_clock_mhz is not None for s in inside)
    reasons_known = any(s.clock_event_reasons is not None for s in inside)
    words = [word for window in spans(windows) for word in tags(samples, *window)]
    return BoardState(
        sm_clock_mhz=median(s.sm_clock_mhz for s in inside),
        memory_clock_mhz=median(s.memory_clock_mhz for s in inside),
        temperature_c=largest(s.temperature_c for s in inside),
        power_w=power_w,
        energy_instrument=energy_instrument(samples) if energy else None,
        joules_per_image=joules,
        images_per_joule=1 / joules if joules else None,
        idle_share=energy.idle_j / energy.energy_j if energy and energy.idle_j is not None else None,
        power_violation_share=violation_share(samples, "power", windows),
        thermal_violation_share=violation_share(samples, "thermal", windows),
        reliability_violation_share=violation_share(samples, "reliability", windows),
        num_invalid_blocks=sum(why is not None for why in invalid) if clocks_known or reasons_known else None,
        clock_tags=(", ".join(dict.fromkeys(words)) or "none") if reasons_known else None,
        foreign_processes=largest(s.num_foreign for s in inside),
        nvml_process_bytes=largest(s.process_bytes for s in inside),
    )
