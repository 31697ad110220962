"""What NVML measured of a GPU (the first, where a cell uses several), and its samples. Null on a CPU."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column, given


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardState:
    """The board in the steady blocks."""

    sm_clock_mhz: float | None = column("MHz", "SM clock", "Median over the samples in the steady blocks")
    memory_clock_mhz: float | None = column("MHz", "memory clock", "Median over the same samples")
    temperature_c: float | None = column("°C", "temperature", "Highest temperature of the die in the steady blocks")
    power_w: float | None = column(
        "W",
        "power",
        "Mean over the valid steady blocks: energy of the board over time; stretches under 1 s are left out; null on a "
        "MIG slice, which has no meter of its own",
    )
    energy_instrument: str | None = column(
        "",
        "energy instrument",
        "energy_counter (the board's own), or power_integral where it has none; the two are not compared",
    )
    joules_per_image: float | None = column(
        "J/image",
        "energy per image",
        "Power times the blocks' wall time per image; null where several boards worked, since one was sampled",
    )
    images_per_joule: float | None = column("images/J", "images per joule", "Inverse of the energy per image")
    idle_share: float | None = column(
        "",
        "idle share",
        "Share of the energy that the idle board would have drawn in the same time, CUDA's context open; null where "
        "idle power was not sampled",
    )
    power_violation_share: float | None = column(
        "",
        "time at the power cap",
        "Share of the steady blocks' wall time for which the power cap held the clocks down, by NVML's counter",
    )
    thermal_violation_share: float | None = column(
        "",
        "time at the thermal limit",
        "Share of the steady blocks' wall time for which the limit on the die's temperature held the clocks down",
    )
    reliability_violation_share: float | None = column(
        "",
        "time at the voltage limit",
        "Share of the steady blocks' wall time for which the limit on voltage held the clocks down",
    )
    num_invalid_blocks: int | None = column(
        "",
        "invalid blocks",
        "Steady blocks with a hardware or thermal slowdown, a power brake, or a mean SM clock under 90 % of the cell's",
    )
    clock_tags: str | None = column(
        "",
        "clocks held by",
        "What else held the clocks down in a steady block, such as software power cap; none if nothing did",
    )
    foreign_processes: int | None = column(
        "",
        "foreign processes",
        "Most compute processes of others on the board in any sample of the steady blocks; 0 if there was none",
    )
    nvml_process_bytes: int | None = column(
        "bytes",
        "process memory",
        "Most board memory of the worker in the steady blocks, by NVML, CUDA's context included; null where NVML does "
        "not list the worker's pid",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyToAccuracy:
    """The energy that a training needed to reach its target."""

    energy_to_accuracy_j: float | None = column(
        "J",
        "energy to accuracy",
        "Power times the training time until [measure] target_accuracy was first reached; null where "
        "power was not measured, several boards worked or the target was not reached",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardSample:
    """A sample: a row of `board`."""

    time_s: float = given("s", "time", "Since the worker's start, on the worker's clock")
    energy_j: float | None = column("J", "energy", "The board's counter, since the driver was loaded")
    power_w: float | None = column(
        "W", "power", "Of the board; on most boards since Ampere the mean of the last second"
    )
    sm_clock_mhz: int | None = column("MHz", "SM clock", "At the sample's time")
    memory_clock_mhz: int | None = column("MHz", "memory clock", "At the sample's time")
    clock_event_reasons: int | None = column(
        "",
        "clock event reasons",
        "NVML's bit mask of what holds the clocks down; 0: nothing",
    )
    temperature_c: int | None = column("°C", "temperature", "Of the die")
    p_state: int | None = column("", "performance state", "0 is the fastest, 15 the slowest")
    power_violation_ns: int | None = column(
        "ns",
        "time at the power cap",
        "Time for which the power cap held the clocks down, since the driver was loaded",
    )
    thermal_violation_ns: int | None = column(
        "ns", "time at the thermal limit", "The same, for the limit on temperature"
    )
    reliability_violation_ns: int | None = column(
        "ns", "time at the voltage limit", "The same, for the limit on voltage"
    )
    used_bytes: int | None = column("bytes", "board memory", "In use by all processes, the driver's reserve included")
    process_bytes: int | None = column(
        "bytes",
        "process memory",
        "Of the worker, CUDA's context included; null where NVML does not list its pid, as in many containers",
    )
    num_foreign: int | None = column("", "foreign processes", "Compute processes of others on the board")
