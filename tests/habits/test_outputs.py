"""What a model may return and what its loss may be; anything else is refused in one line before the first update."""

from __future__ import annotations

import re
from itertools import product

import pytest
import torch
from torch import nn

from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.training import Training
from tests.habits import outputs
from tests.habits.ending import CPU, Net, cell_of, end, end_once
from tests.support.thinned import thinned

TAKEN = {
    outputs.WithFeatures: r"logits of tuple of Tensor \(64, 10\), Tensor \(64, 512\)",
    outputs.AsList: "logits of list of Tensor",
    outputs.AsDict: "logits of OrderedDict with features, logits",
    outputs.AsNamedTuple: "logits of Pair of features, logits",
    outputs.AsDataclass: "logits of Output with loss, logits",
}


@pytest.mark.parametrize(("model", "recipe"), thinned(product(TAKEN, ["fp32", "bf16", "bf16_amp"]), kept=len(TAKEN)))
def test_logits_are_found_where_they_are_and_train_as_a_plain_tensor_does(model: type[nn.Module], recipe: str) -> None:
    plain, row = end_once(Net, recipe), end(model, recipe)
    assert (row["status"], row["because"]) == ("ok", None)
    assert re.match(TAKEN[model], row["model_output"])
    assert row["test_accuracy"] == plain["test_accuracy"] > 0.8
    assert row["test_loss"] == plain["test_loss"]
    assert plain["model_output"] is None


def test_a_loss_of_the_models_own_gets_auxiliary_heads_in_fp32_and_the_plain_logits_in_evaluation() -> None:
    row = end(outputs.Auxiliary, "bf16_amp")
    assert (row["status"], row["because"]) == ("ok", None)
    assert row["test_accuracy"] > 0.8


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (outputs.FieldOfAnotherName, r"returns dict with prediction, and no logits are found in it: return a tensor"),
        (outputs.TooWide, r"logits of shape \(64, 12\), and \(64, 10\) is wanted.*give its last layer 10 outputs"),
        (outputs.Spatial, r"logits of shape \(64, 10, 1, 1\), and \(64, 10\) is wanted"),
        (outputs.OneLogit, r"logits of shape \(64, 1\), and \(64, 10\) is wanted.*classes_of\(outputs\) -> \(N,\)"),
        (outputs.Guesses, "logits of int64, and real floating-point numbers are wanted"),
        (outputs.Detached, "logits that no weight has a gradient from"),
        (outputs.LossOfEach, r"its own loss is of shape \(64,\), and a scalar is wanted: take the mean"),
        (outputs.LossAsNumber, "its own loss returns float, and a tensor that is a scalar is wanted"),
        (outputs.LossOfThree, r"failed with what the model returned: Tensor \(64, 10\), in fp32.*outputs\.py:\d+\)"),
        (
            outputs.AuxiliaryAlways,
            r"in evaluation: its own loss.*another type than in training: Tensor \(128, 10\).*take what is",
        ),
        (outputs.ClassesBeyond, "classes_of says classes outside 0 to 9 for 360 test images"),
        (outputs.ClassesAsShares, r"classes_of returns Tensor \(64, 1\), and whole numbers of shape \(64,\)"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_the_model_and_the_move(model: type[nn.Module], said: str) -> None:
    row = end(model)
    assert row["status"] == "failed"
    assert re.search(said, row["because"]), row["because"]
    assert f"tests.habits.outputs:{model.__name__}" in row["because"]
    assert row["test_accuracy"] is None


def test_a_misfit_is_found_before_any_weight_is_updated() -> None:
    training = Training(cell_of(outputs.TooWide), load_images("digits", 16), CPU)
    before = [p.detach().clone() for p in training.model.parameters()]
    with pytest.raises(ValueError, match=r"outputs:TooWide: the model returns logits of shape \(64, 12\)"):
        next(training.steps(0))
    assert all(torch.equal(a, b) for a, b in zip(before, training.model.parameters(), strict=True))


def test_a_model_that_says_how_a_class_is_read_may_return_what_it_likes() -> None:
    row = end(outputs.OneLogitRead)
    assert (row["status"], row["because"]) == ("ok", None)
    assert row["model_output"] == "Tensor (64, 1), read by its own loss and classes_of"
    even_or_odd = load_images("digits", 16).test_y_N  # of the digits it can only ever say 0 and 1
    assert row["test_accuracy"] <= float((even_or_odd < 2).float().mean())
    assert row["test_accuracy"] > 0.15


def gradients(model: type[nn.Module], **fields: object) -> list[torch.Tensor]:
    training = Training(cell_of(model, **fields), load_images("digits", 16), CPU)
    training.model.norm.eval()  # it sees each part alone
    next(training.steps(0))
    return [p.grad.clone() for p in training.model.parameters() if p.grad is not None]


@pytest.mark.parametrize("model", [Net, outputs.MeanLoss, outputs.SumLoss])
def test_parts_of_a_batch_add_up_to_its_gradient_for_a_mean_and_for_a_sum(model: type[nn.Module]) -> None:
    for whole, parts in zip(gradients(model), gradients(model, accumulation=5), strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))


def test_a_loss_that_is_neither_is_not_taken_in_parts_in_silence() -> None:
    row = end(outputs.WeightedLoss, accumulation=4)
    assert row["status"] == "failed"
    assert "outputs:WeightedLoss: its own loss is neither a mean nor a sum over the images" in row["because"]
    assert "use accumulation = 1" in row["because"]
    assert end(outputs.WeightedLoss)["status"] == "ok"


@pytest.mark.parametrize(
    ("model", "said"),
    [(outputs.LossOfThree, "too many values to unpack"), (outputs.LossAsNumber, "returns float, and a tensor")],
)
def test_a_loss_that_fails_says_the_same_of_a_batch_in_parts(model: type[nn.Module], said: str) -> None:
    training = Training(cell_of(model, accumulation=2), load_images("digits", 16), CPU)
    with pytest.raises(ValueError, match=rf"outputs:{model.__name__}: its own loss.*{said}"):
        next(training.steps(0))


def test_a_loss_that_is_bound_to_the_last_images_is_taken_batch_by_batch(recwarn: pytest.WarningsRecorder) -> None:
    row = end(outputs.BoundLoss)
    assert not [one for one in recwarn if "target size" in str(one.message)], "it is tried on parts in silence"
    assert (row["status"], row["because"]) == ("ok", None)
    assert row["test_loss"] == pytest.approx(end_once(Net)["test_loss"], rel=1e-6)
    training = Training(cell_of(outputs.BoundLoss, accumulation=2), load_images("digits", 16), CPU)
    with pytest.raises(ValueError, match=r"BoundLoss: its own loss fails for a part .*: use accumulation = 1, or let"):
        next(training.steps(0))


def test_a_loss_of_pairs_that_has_no_memory_for_all_images_is_taken_batch_by_batch() -> None:
    training = Training(cell_of(outputs.PairsLoss), load_images("digits", 16), CPU)
    images, test_loss = training.images, training.evaluate().test_loss
    assert test_loss is not None
    with torch.no_grad():
        parts = zip(images.test_x_NCHW.split(128), images.test_y_N.split(128), strict=True)
        training.model.eval()
        losses = [training.model.loss(training.model(training.normalize(x)), y) * len(y) for x, y in parts]
    assert test_loss == pytest.approx(float(sum(losses)) / 360, rel=1e-5)


@pytest.mark.parametrize("model", [Net, outputs.SumLoss, outputs.WeightedLoss, outputs.LossOfShape1])
def test_the_test_loss_does_not_depend_on_how_many_images_are_evaluated_at_once(
    model: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(cell_of(model), load_images("digits", 16), CPU)
    losses = []
    for size in (128, 100, 7, 360):
        monkeypatch.setattr("ampbench.bench.train.evaluation.MIN_EVALUATION_BATCH", size)
        training.cell = cell_of(model, batch_size=min(size, 64))
        losses.append(training.evaluate().test_loss)
    assert losses == pytest.approx(losses[:1] * 4, rel=1e-5)
    assert losses[0] == pytest.approx(2.3, abs=0.3)  # an image's, before any training


def test_trying_a_loss_on_parts_leaves_its_statistics_alone() -> None:
    training = Training(cell_of(outputs.CountingLoss, accumulation=4), load_images("digits", 16), CPU)
    next(training.steps(0))
    assert float(training.model.calls) == 4
    assert training.criterion.reduction == "sum"


@pytest.mark.whole
def test_torchvision_s_auxiliary_heads_are_left_to_a_loss_of_one_s_own() -> None:
    training = Training(
        cell_of("torchvision:googlenet", "bf16_amp", image_size=64, batch_size=4), load_images("digits", 64), CPU
    )
    assert next(training.steps(0)).loss.isfinite()
    assert training.criterion.taken == "logits of GoogLeNetOutputs of logits, aux_logits2, aux_logits1"
    heads = [p for name, p in training.model.named_parameters() if name.startswith("aux")]
    assert heads
    assert all(p.grad is None for p in heads)
