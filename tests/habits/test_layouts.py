"""NHWC where a model supports it, NCHW where not, from the same start; and methods that return nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.training import Training
from ampbench.bench.worker.checkpoints import Checkpoints
from ampbench.bench.worker.measurement import Measurement
from tests.habits import layouts
from tests.habits.ending import CPU, Net, cell_of, end, measurement_of
from tests.support.measuring import plain, row_of


def losses(measurement: Measurement) -> list[float]:
    measurement.take()
    return [step["loss"] for step in plain(measurement.outcome.traces.steps)]


@pytest.mark.parametrize("model", [layouts.Views, layouts.ViewsAfterDropout, layouts.AssertsLayout])
def test_a_model_that_cannot_do_with_nhwc_trains_as_if_nchw_had_been_asked_for(model: type[nn.Module]) -> None:
    measurement = measurement_of(cell_of(model))
    asked = losses(measurement_of(cell_of(model, channels_last=False)))
    assert losses(measurement) == asked
    assert len(asked) == 22
    row = row_of(measurement)
    assert row["channels_last_used"] is False
    assert row["layout_note"].startswith("in NHWC the first step failed (")
    assert row["test_accuracy"] > 0.7


def test_a_sample_before_the_first_step_finds_the_layout_that_the_step_would() -> None:
    sampled, untouched = (measurement_of(cell_of(layouts.ViewsAfterDropout), numerics_samples=n) for n in (2, 0))
    assert losses(sampled) == losses(untouched)
    assert row_of(sampled)["channels_last_used"] is False
    assert row_of(sampled).get("passes_failed") is None
    assert {row["epoch"] for row in plain(sampled.outcome.traces.layers)} == {0, 1}


def test_a_model_that_can_keeps_nhwc_and_its_row_says_so() -> None:
    measurement = measurement_of(cell_of(Net))
    measurement.take()
    assert row_of(measurement)["channels_last_used"] is True
    assert row_of(measurement)["layout_note"] is None


def test_a_layout_that_only_evaluation_cannot_do_with_is_named() -> None:
    row = end(layouts.ViewsInEvaluation)
    assert row["status"] == "failed"
    assert "channels_last = false" in row["because"]


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("model", [layouts.Conv3d, layouts.Conv1d])
def test_weights_of_other_dimensions_keep_their_layout(model: type[nn.Module], channels_last: bool) -> None:
    row = end(model, channels_last=channels_last)
    assert (row["status"], row["because"]) == ("ok", None)
    assert row["channels_last_used"] is channels_last
    training = Training(cell_of(model), load_images("digits", 16), CPU)
    for x in (*training.model.parameters(), *training.model.buffers()):
        assert x.dim() == 4 or x.is_contiguous()


def test_a_training_that_goes_on_from_a_checkpoint_keeps_the_layout_it_began_in(tmp_path: Path) -> None:
    cell = cell_of(layouts.Views, epochs=3)
    whole = losses(measurement_of(cell))

    class Killed(Exception):
        pass

    def stop(**facts: object) -> None:
        if facts.get("epoch") == 2:
            raise Killed

    first = measurement_of(cell)
    first.checkpoints, first.timing.report = Checkpoints(tmp_path, 0, "x", "y"), stop
    with pytest.raises(Killed):
        first.take()
    second = measurement_of(cell)
    second.checkpoints = Checkpoints(tmp_path, 0, "x", "y")
    assert losses(second) == whole
    assert row_of(second)["num_resumes"] == 1
    assert row_of(second)["channels_last_used"] is False


@pytest.mark.parametrize("recipe", ["fp32", "bf16"])
def test_methods_that_return_nothing_are_called_and_not_asked(recipe: str) -> None:
    row = end(layouts.NoReturns, recipe, {"numerics_samples": 2})
    assert (row["status"], row["because"]) == ("ok", None)
    assert row["test_accuracy"] > 0.7
    assert row.get("passes_failed") is None
    assert row["forward_flops"] > 0
    training = Training(cell_of(layouts.NoReturns, recipe), load_images("digits", 16), CPU)
    assert training.model.training
    assert not training.model.norm.training
    training.evaluate()
    assert training.model.training


def test_torch_s_dtype_of_a_plain_tensor_is_left_to_the_model() -> None:
    training = Training(cell_of(layouts.NoReturns, "bf16"), load_images("digits", 16), CPU)
    assert training.model.shift.dtype == torch.float32
