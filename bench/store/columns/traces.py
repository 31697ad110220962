"""The columns of what a run leaves besides its record: epochs, steps, blocks, layers, exponents."""

from __future__ import annotations

from ampbench.bench.store.columns.column import FLAG, INT, REAL, SINGLE, TEXT, Column

ID = Column("cell_id", TEXT, "", "cell", "Hash of the cell's fields that differ from their default")

QUANTITIES = {
    "num_entries": "of the tensor",
    "loss_scale": "of this look; 1 without a scaler",
    "flushed_share": "of the nonzero entries in strict fp32, those that round to 0 in the compute dtype at this scale",
    "died_share": "of the same, those that are 0 in the recipe's own gradient",
    "near_overflow_share": "of all entries, those within 2 doublings of the largest finite number",
    "headroom_bits": "doublings of the loss scale until the largest entry overflows",
    "norm": "Euclidean, in strict fp32",
    "distance": "of the recipe's gradient from strict fp32, over the norm of the latter",
    "lost_update_share": "of 16-bit weights with a gradient, those with |learning rate * gradient| < ulp / 2",
    "unmoved_share": "of what the optimizer updates, with a gradient: left where it was by a step that was not skipped",
}
"""What layers.parquet may hold."""

EPOCHS: tuple[Column, ...] = (
    ID,
    Column("epoch", INT, "", "epoch", "From 1"),
    Column("learning_rate", REAL, "", "learning rate", "At the epoch's last step"),
    Column(
        "train_loss", REAL, "", "training loss", "Mean over the epoch's steps; of several GPUs, the first one's images"
    ),
    Column(
        "train_accuracy",
        REAL,
        "",
        "training accuracy",
        "Share of the epoch's training images that the network got right as it met them: augmented, before the step "
        "they led to, with the weights that are trained, no average of them; of all GPUs; null if its outputs are no "
        "logits",
    ),
    Column("train_s", REAL, "s", "training time", "Since the first step, evaluation off the clock"),
    Column("epoch_train_s", REAL, "s", "training time of the epoch", "Of this epoch's steps alone"),
    Column("evaluate_s", REAL, "s", "evaluation time", "Of this epoch's evaluation; null if not evaluated"),
    Column(
        "images_per_s",
        REAL,
        "images/s",
        "throughput",
        "Images of the epoch over its training time, whatever happened in it",
    ),
    Column("num_skipped", INT, "", "skipped steps", "In this epoch"),
    Column("loss_scale", REAL, "", "loss scale", "After the epoch; null without a scaler"),
    Column("test_accuracy", REAL, "", "test accuracy", "Share of the test images; null if not evaluated"),
    Column("test_loss", REAL, "", "test loss", "Mean cross-entropy; null likewise"),
    Column("macro_precision", REAL, "", "macro precision", "Mean over classes; null likewise"),
    Column("macro_recall", REAL, "", "macro recall", "Mean over classes; null likewise"),
    Column("macro_f1", REAL, "", "macro F1", "Mean over classes; null likewise"),
)

STEPS: tuple[Column, ...] = (
    ID,
    Column("step", INT, "", "step", "From 1"),
    Column("epoch", INT, "", "epoch", "From 1"),
    Column(
        "loss", SINGLE, "", "training loss", "Of this step's batch, fp32; of several GPUs, the first one's share of it"
    ),
    Column(
        "train_accuracy",
        SINGLE,
        "",
        "training accuracy",
        "Share of this step's batch that the network got right before the step, augmented; of several GPUs, of the "
        "first one's share; null if its outputs are no logits",
    ),
    Column("num_images", INT, "", "images", "In this step's batch, of all GPUs"),
    Column("loss_scale", SINGLE, "", "loss scale", "That this step used; null without a scaler"),
    Column("skipped", FLAG, "", "skipped", "Whether the scaler skipped the update; null without a scaler"),
    Column(
        "headroom_bits",
        SINGLE,
        "bits",
        "headroom",
        "Doublings of the scale until a gradient overflows, where layers were looked at after this step",
    ),
)

LAYERS: tuple[Column, ...] = (
    ID,
    Column("step", INT, "", "step", "Steps taken before the look"),
    Column("epoch", INT, "", "epoch", "Epochs finished before the look"),
    Column("depth", INT, "", "depth", "Place of the layer in the model, from 0"),
    Column("layer", TEXT, "", "layer", "Name of the module"),
    Column(
        "tensor",
        TEXT,
        "",
        "tensor",
        "gradient (of the layer's weights), activation (its output), activation gradient (that reaches its output)",
    ),
    Column("quantity", TEXT, "", "quantity", f"One of: {'; '.join(f'{k}: {v}' for k, v in QUANTITIES.items())}"),
    Column("value", REAL, "", "value", "Of the quantity; a quantity that does not exist here has no row"),
)

EXPONENTS: tuple[Column, ...] = (
    ID,
    Column("step", INT, "", "step", "Steps taken before the look"),
    Column("epoch", INT, "", "epoch", "Epochs finished before the look"),
    Column("depth", INT, "", "depth", "Place of the layer in the model, from 0"),
    Column("layer", TEXT, "", "layer", "Name of the module"),
    Column("tensor", TEXT, "", "tensor", "As in layers"),
    Column("exponent", INT, "", "exponent", "e of the entries with 2^e <= |x| < 2^(e+1), in strict fp32"),
    Column("count", INT, "", "entries", "With this exponent"),
)

BLOCKS: tuple[Column, ...] = (
    ID,
    Column("block", INT, "", "block", "From 1"),
    Column("epoch", INT, "", "epoch", "From 1"),
    Column("num_steps", INT, "", "steps", "In the block"),
    Column("num_images", INT, "", "images", "In the block; the last batch of an epoch may be smaller"),
    Column("num_skipped", INT, "", "skipped steps", "In the block; such a block is no timing sample"),
    Column("device_s", REAL, "s", "device time", "CUDA events at the block's borders; perf_counter on a CPU"),
    Column(
        "wall_s", REAL, "s", "wall time", "By perf_counter where its end was waited for, else by the device's clock"
    ),
    Column("images_per_s", REAL, "images/s", "throughput", "Images of the block over its device time"),
    Column("steady", FLAG, "", "steady", "False during warm-up"),
    Column("invalid", TEXT, "", "invalid", "How the board held it back, so that it is no timing sample; else null"),
)
