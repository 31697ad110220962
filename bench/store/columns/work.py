"""Columns of a record about what a step was spent on: its phases, its operations, its share of the board."""

from __future__ import annotations

from ampbench.bench.store.columns.column import INT, REAL, TEXT, Column

WORK: tuple[Column, ...] = (
    # Phases: medians over a few untimed steps, on the device's clock; null without the pass `phases`
    Column("data_ms", REAL, "ms", "data", "Of a step, until the batch is there: gathered, augmented, normalised"),
    Column("forward_ms", REAL, "ms", "forward", "Of a step: network and loss"),
    Column("backward_ms", REAL, "ms", "backward", "Of a step: gradients"),
    Column("update_ms", REAL, "ms", "update", "Of a step: unscaling, optimizer and the scaler's own update"),
    Column(
        "kernel_ms",
        REAL,
        "ms",
        "kernels",
        "Of a step, sum over its CUDA kernels in the profiler, medians of three; null on a CPU",
    ),
    Column(
        "product_share",
        REAL,
        "",
        "products",
        "Of the time in kernels (operators on a CPU; medians of three steps), that of matrix products and convolutions",
    ),
    Column("bound", TEXT, "", "bound by", "What a step waits for most: input, launch, compute or memory"),
    Column("bound_because", TEXT, "", "evidence", "For it, in words"),
    # Operations: counted by shape, a multiply-add as two
    Column("forward_flops", INT, "", "operations forward", "Of the products for one image, counted, not measured"),
    Column("backward_flops", INT, "", "operations backward", "Likewise; the image itself needs no gradient"),
    Column(
        "tflops",
        REAL,
        "TFLOP/s",
        "operations a second",
        "Counted operations of an image times the throughput, of one board",
    ),
    Column(
        "vendor_peak_tflops",
        REAL,
        "TFLOP/s",
        "vendor's peak",
        "Dense, of the board in the dtype that the recipe's products run in; null where none is known",
    ),
    Column(
        "measured_peak_tflops",
        REAL,
        "TFLOP/s",
        "measured peak",
        "Of one large product or convolution of random numbers in that dtype, here; null without the pass `roofline`",
    ),
    Column("mfu_vendor", REAL, "", "share of the vendor's peak", "Operations a second over the vendor's peak"),
    Column("mfu_measured", REAL, "", "share of the measured peak", "Operations a second over the measured peak"),
)
