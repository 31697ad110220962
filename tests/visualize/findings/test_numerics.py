"""Figures and sentences about underflow, lost updates and loss scales."""

from __future__ import annotations

import matplotlib
import pytest

from tests.visualize.conftest import cell

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from ampbench.visualize.figures import exponents, loss_scale, lost_updates, theme, underflow
from ampbench.visualize.findings import numbers, numerics
from ampbench.visualize.read.frame import read
from ampbench.visualize.read.layers import unmoved

LAYERS = {"conv1": 100, "conv2": 300}
"""Layer -> number of entries."""
FLUSHED = {"fp16_amp": {"conv1": 0.43, "conv2": 0.02}, "fp16_amp_scaled": {"conv1": 0.0, "conv2": 0.0}}
UNMOVED = {"bf16": {"conv1": 0.2, "conv2": 0.8}}

OF_SAMPLES = (underflow.FIGURE.draw, exponents.draw)


@pytest.fixture
def ax():
    """Return axes, and close them after the test."""
    theme.use()
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.fixture
def sampled(folder):
    """Results with samples of two layers after steps 0 and 100, and a loss scale that is halved once."""
    folder.rows |= {"layers": [], "exponents": []}
    for recipe in ("fp32", "bf16", "fp16_amp", "fp16_amp_scaled"):
        for seed in (0, 1):
            described = cell(recipe, seed=seed, epochs=2)
            scaled = recipe == "fp16_amp_scaled"
            dtypes = {"compute_dtype": described.precision.compute, "final_loss_scale": 1024.0 if scaled else None}
            folder.add(described, **dtypes)
            if scaled:
                for k, row in enumerate(r for r in folder.rows["steps"] if r["cell_id"] == described.cell_id):
                    row |= {"loss_scale_factor": 2048.0 if k < 3 else 1024.0, "skipped": k == 2}
            for step, epoch in ((0, 0), (100, 2)):
                for depth, (layer, size) in enumerate(LAYERS.items()):
                    place = {"cell_id": described.cell_id, "step": step, "epoch": epoch, "depth": depth, "layer": layer}
                    place |= {"tensor": "gradient"}
                    values = {
                        "num_entries": size,
                        "loss_scale_factor": 1024.0 if scaled else 1.0,
                        "flushed_share": FLUSHED.get(recipe, {}).get(layer, 0.0) * (step > 0),
                        "unmoved_share": UNMOVED.get(recipe, {}).get(layer, 0.01),
                    }
                    folder.rows["layers"] += [place | {"quantity": q, "value": v} for q, v in values.items()]
                    folder.rows["exponents"] += [place | {"exponent": e, "count": 10 + e % 3} for e in range(-30, -8)]
    return read(folder.write())


def test_findings_name_the_layers_that_underflow_and_the_recipes_without_any(sampled):
    first, *to_keep = numerics.findings(sampled)
    assert first == (
        "VGG19 at batch 128: gradients underflow (5 % or more of a layer flushed to zero) with fp16_amp in conv1 "
        "(at worst 43 % of conv1); in no layer with fp32, bf16, fp16_amp_scaled."
    )
    assert to_keep[-1] == (
        "VGG19 at batch 128: fp16_amp has its trouble in 1 of 2 layers: conv1 (43 % of its gradient flushed to zero); "
        'to try: keep just conv1 in fp32: keep_fp32 = ["conv1"].'
    )


def test_nothing_is_found_where_no_sample_was_taken(matrix):
    assert numerics.findings(read(matrix(seeds=(0,)))) == []


def test_unmoved_weighs_layers_by_their_size(sampled):
    shares = unmoved(sampled).query("epoch == 2").groupby("recipe", observed=True)["share"].mean()
    assert shares["bf16"] == pytest.approx((100 * 0.2 + 300 * 0.8) / 400)
    assert shares["fp32"] == pytest.approx(0.01)


def test_a_map_has_a_row_a_layer_and_a_column_a_sample(sampled, ax):
    assert underflow.FIGURE.draw(sampled.where(recipe="fp16_amp"), ax) is ax
    assert [t.get_text() for t in ax.get_yticklabels()] == ["conv1", "conv2"]
    assert ax.images[0].get_array().shape == (2, 2)
    assert ax.images[0].get_array().max() == pytest.approx(0.43)


def test_a_map_refuses_two_recipes(sampled, ax):
    with pytest.raises(ValueError, match=r"use results.where\(recipe="):
        underflow.FIGURE.draw(sampled, ax)


def test_the_window_of_fp16_moves_with_the_loss_scale(sampled, ax):
    exponents.draw(sampled.where(recipe="fp16_amp"), ax)
    plain = ax.patches[-2].get_x()  # the span of the subnormal numbers starts where fp16 ends
    ax.clear()
    exponents.draw(sampled.where(recipe="fp16_amp_scaled"), ax)
    assert plain - ax.patches[-2].get_x() == 10


def test_a_skipped_step_is_a_cross_on_the_scale_it_used(sampled, ax):
    loss_scale.draw(sampled, ax)
    assert [line.get_label() for line in ax.lines][:1] == ["fp16_amp_scaled"]
    assert ax.collections[0].get_offsets().tolist() == [[3.0, 11.0]]
    assert "1 of 20 steps skipped" not in loss_scale.describe(sampled)
    assert "2 of 40 steps skipped" in loss_scale.describe(sampled)


def test_lost_updates_are_a_line_a_recipe(sampled, ax):
    lost_updates.draw(sampled, ax)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["fp32", "bf16", "fp16_amp", "fp16_amp_scaled"]


@pytest.mark.parametrize("draw", [*OF_SAMPLES, lost_updates.draw, loss_scale.draw])
def test_without_samples_and_scales_a_figure_is_a_sentence(matrix, ax, draw):
    draw(read(matrix(("fp32",), seeds=(0,))), ax)
    assert not ax.axison
    assert ax.texts[0].get_text().startswith("No ")


def test_every_figure_has_its_words(sampled):
    own = sampled.where(recipe="fp16_amp")
    assert "43.0 %" in underflow.FIGURE.describe(own)
    assert "are below 2^" in exponents.describe(own)
    assert "bf16 65 %" in lost_updates.describe(sampled)


def test_why_nan_names_the_layer_that_loses_its_gradient_and_what_helps(sampled):
    lost, kept, rounded = (
        numbers.explain_numbers(sampled, "fp32", recipe) for recipe in ("fp16_amp", "fp16_amp_scaled", "bf16")
    )
    assert lost.sentence == "fp16_amp did not diverge, but gradients are flushed to zero: conv1 43 %"
    assert "_scaled" in lost.next_move
    assert [(bar.label, bar.a, bar.b) for bar in lost.waterfall.bars] == [("conv1", 0, 43), ("conv2", 0, 2)]
    assert not lost.waterfall.sums
    assert kept.sentence == "fp16_amp_scaled did not diverge, and no layer loses 5 % of its gradient"
    assert kept.next_move == ""
    assert "rounding removes the update of 65 % of the weights at the last sample" in rounded.sentence
    assert rounded.next_move.startswith("set master_weights = true")
