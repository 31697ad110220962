"""Columns of a record that say what the precision did: its dtypes, its loss scale, where it broke."""

from __future__ import annotations

from ampbench.bench.store.columns.column import FLAG, INT, REAL, TEXT, Column

PRECISION: tuple[Column, ...] = (
    Column("weights_dtype", TEXT, "", "weights", "Dtype that the recipe keeps the weights in"),
    Column("compute_dtype", TEXT, "", "compute", "Dtype that the recipe's products run in"),
    Column("update", TEXT, "", "update", "Of 16-bit weights: nearest, master (an fp32 copy), kahan or stochastic"),
    Column(
        "dtype_proof",
        TEXT,
        "",
        "dtypes seen",
        "Dtypes of the inputs of products in step 1, by operator, and of the outputs of layers",
    ),
    Column(
        "fp32_errors",
        TEXT,
        "",
        "errors of fp32 products",
        "Relative, of a product and a convolution in a recipe that computes in fp32: 2^-22 is IEEE, 2^-11 TF32",
    ),
    Column(
        "kernels",
        TEXT,
        "",
        "kernels",
        "CUDA kernels that multiplied in steps after the last, one of each dtype first, as name:dtype; name:dtype",
    ),
    Column(
        "fp32_precision",
        TEXT,
        "",
        "fp32 precision",
        "Effective torch fp32_precision of CUDA matmul, conv, rnn and CPU products",
    ),
    Column(
        "model_changed",
        TEXT,
        "",
        "settings that the model changed",
        "Of the process, by its factory, import or first step, and set back: default dtype, threads, seed, TF32 …",
    ),
    Column(
        "onednn_used",
        FLAG,
        "",
        "oneDNN",
        "Whether a CPU's convolutions and products were oneDNN's, not torch's own; null on a GPU",
    ),
    Column(
        "channels_last_used",
        FLAG,
        "",
        "NHWC",
        "Whether images and 4-d weights were laid out NHWC in memory: false, too, where the model could not do with it",
    ),
    Column(
        "layout_note", TEXT, "", "why not NHWC", "What the first step said to it; null where the cell's layout was used"
    ),
    Column("num_steps", INT, "", "steps", "Optimizer steps attempted"),
    Column("num_skipped", INT, "", "skipped steps", "Steps that the loss scaler skipped after an overflow"),
    Column(
        "final_loss_scale",
        REAL,
        "",
        "final loss scale",
        "Factor on the loss after the last step; null without a scaler",
    ),
    Column("num_growths", INT, "", "loss scale growths", "Steps after which the loss scale rose"),
    Column("num_backoffs", INT, "", "loss scale backoffs", "Steps after which the loss scale fell"),
    Column("min_loss_scale", REAL, "", "least loss scale", "Of all steps; null without a scaler"),
    Column("max_loss_scale", REAL, "", "largest loss scale", "Of all steps; null without a scaler"),
    Column("wasted_images", INT, "images", "wasted images", "In skipped steps; null without a scaler"),
    Column("optimizer_dtypes", TEXT, "", "optimizer dtypes", "Of the parameters that the optimizer updates"),
    Column(
        "diverged_step",
        INT,
        "",
        "diverged at step",
        "First with a loss that is not finite or a loss scale that collapsed; the last one where every step was "
        "skipped or the evaluation was not finite; else null",
    ),
    Column("diverged_loss", TEXT, "", "diverged loss", "Of that step, where it is not finite: nan, inf or -inf"),
    Column(
        "diverged_layer",
        TEXT,
        "",
        "layer that went first",
        "The first with a non-finite tensor, in a replay or in one more evaluation",
    ),
    Column("diverged_in", TEXT, "", "where it went", "forward, backward, update or evaluation"),
)
