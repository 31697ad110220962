"""What NVML saw of a GPU: columns of a record, over the steady blocks, and the samples they rest on. Null on a CPU.

Of a cell on several GPUs, it is what was seen of the first.
"""

from __future__ import annotations

from ampbench.bench.store.columns.column import INT, REAL, TEXT, Column
from ampbench.bench.store.columns.traces import ID

BOARD_STATE: tuple[Column, ...] = (
    Column("sm_clock_mhz", REAL, "MHz", "SM clock", "Median over the samples in the steady blocks"),
    Column("memory_clock_mhz", REAL, "MHz", "memory clock", "Median over the same samples"),
    Column("temperature_c", REAL, "°C", "temperature", "Of the die, the highest in the steady blocks"),
    Column(
        "power_w",
        REAL,
        "W",
        "power",
        "Of the board: energy over time, of the steady blocks that count; stretches under 1 s are left out",
    ),
    Column(
        "energy_instrument",
        TEXT,
        "",
        "energy instrument",
        "energy_counter (the board's own), or power_integral where it has none; the two are not compared",
    ),
    Column(
        "joules_per_image",
        REAL,
        "J/image",
        "energy per image",
        "Power times the blocks' wall time per image; null where several boards worked, since one was sampled",
    ),
    Column("images_per_joule", REAL, "images/J", "images per joule", "Its inverse"),
    Column(
        "energy_to_accuracy_j",
        REAL,
        "J",
        "energy to accuracy",
        "Power times the training time until [measure] target_accuracy was first reached; null likewise",
    ),
    Column(
        "idle_share",
        REAL,
        "",
        "idle share",
        "Of the energy, what the board would have drawn idle with a warm context; null where idle was not sampled",
    ),
    Column(
        "power_violation_share",
        REAL,
        "",
        "time at the power cap",
        "Share of the steady blocks' wall time for which the power cap held the clocks down, by NVML's counter",
    ),
    Column(
        "thermal_violation_share", REAL, "", "time at the thermal limit", "Likewise, the limit on the die's temperature"
    ),
    Column("reliability_violation_share", REAL, "", "time at the voltage limit", "Likewise, the limit on voltage"),
    Column(
        "num_invalid_blocks",
        INT,
        "",
        "invalid blocks",
        "Steady blocks with a hardware or thermal slowdown, a power brake, or a mean SM clock under 90 % of the cell's",
    ),
    Column(
        "clock_tags",
        TEXT,
        "",
        "clocks held by",
        "What else held the clocks down in a steady block, such as software power cap; none if nothing did",
    ),
    Column(
        "foreign_processes",
        INT,
        "",
        "foreign processes",
        "Compute processes of others on the board, the most at any moment of the steady blocks; 0 if it was our own",
    ),
    Column(
        "nvml_process_bytes",
        INT,
        "bytes",
        "process memory",
        "On the board by NVML, CUDA's context included, the most in the steady blocks; null where it hides our pid",
    ),
)

BOARD: tuple[Column, ...] = (
    ID,
    Column("time_s", REAL, "s", "time", "Since the worker's start, on the worker's clock"),
    Column("energy_j", REAL, "J", "energy", "The board's counter, since the driver was loaded"),
    Column("power_w", REAL, "W", "power", "Of the board; on most since Ampere the mean of the last second"),
    Column("sm_clock_mhz", INT, "MHz", "SM clock", "At this moment"),
    Column("memory_clock_mhz", INT, "MHz", "memory clock", "At this moment"),
    Column(
        "clock_event_reasons",
        INT,
        "",
        "clock event reasons",
        "NVML's bit mask of what holds the clocks down; 0: nothing",
    ),
    Column("temperature_c", INT, "°C", "temperature", "Of the die"),
    Column("p_state", INT, "", "performance state", "0 is the fastest, 15 the slowest"),
    Column(
        "power_violation_ns",
        INT,
        "ns",
        "time at the power cap",
        "For which the power cap held the clocks down, since the driver was loaded",
    ),
    Column("thermal_violation_ns", INT, "ns", "time at the thermal limit", "Likewise, the limit on temperature"),
    Column("reliability_violation_ns", INT, "ns", "time at the voltage limit", "Likewise, the limit on voltage"),
    Column("used_bytes", INT, "bytes", "board memory", "In use by everybody, the driver's reserve included"),
    Column("process_bytes", INT, "bytes", "process memory", "Of the worker, CUDA's context included"),
    Column("num_foreign", INT, "", "foreign processes", "Compute processes of others on the board"),
)
"""One row per sample."""
