"""Arguments of the network itself: a table in an experiment file, checked against what the network takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ampbench import models
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import Plan, make_plan, narrow
from ampbench.bench.plan.model_args import split_model
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.network import build_model
from ampbench.bench.train.training import Training
from ampbench.models.arguments import ARGUMENTS, FACTOR, SHARE, why_refused
from ampbench.models.vit import Block, ViT
from tests.support.tiny import Net

EXPERIMENT = """
question = "?"
[matrix]
{axis}
[fixed]
data = "digits"
precision = "fp32"
batch_size = 64
epochs = 1
{fixed}
"""


class Sized(Net):
    """Cannot be built without being told its sizes."""

    def __init__(self, width: int, *, depth: int) -> None:
        super().__init__()


class Wider(Net):
    """A factory with arguments of its own."""

    def __init__(self, scale: float = 1.0, *, names: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.scale, self.names = scale, names


@pytest.fixture
def planned(experiment_file: Callable[..., Path]) -> Callable[..., Plan]:
    """Return a function that plans an experiment with these lines."""

    def plan(fixed: str = 'model = "ViT_B16"', axis: str = "") -> Plan:
        return make_plan(read_experiment(experiment_file(EXPERIMENT.format(fixed=fixed, axis=axis))))

    return plan


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_argument_that_is_listed_is_one_of_the_network(name: str) -> None:
    for argument, kind in ARGUMENTS[name].items():
        value = {SHARE: 0.25, FACTOR: 0.5}.get(kind, 4 if argument != "hidden" else 96)
        with torch.device("meta"):
            models.build(name, input_shape=(3, 32, 32), **{argument: value})


def test_a_dropout_acts_in_training_and_not_in_evaluation() -> None:
    x_NTD = torch.randn(2, 5, 16)
    for argument in ("hidden_dropout_prob", "attention_dropout_prob", "projection_dropout_prob"):
        block = Block(16, 2, **{argument: 0.5})
        assert not torch.equal(block.train()(x_NTD), block(x_NTD)), argument
        assert torch.equal(block.eval()(x_NTD), block(x_NTD)), argument


def test_the_embedded_tokens_are_dropped_too() -> None:
    embeddings = ViT(image_size=32, num_layers=1, hidden=16, num_heads=2, hidden_dropout_prob=0.5).embeddings
    dropped = embeddings.train()(torch.randn(2, 3, 32, 32)) == 0
    assert 0.3 < float(dropped.float().mean()) < 0.7


def test_without_arguments_nothing_is_drawn_at_random() -> None:
    model = ViT(image_size=32, num_layers=1, hidden=16, num_heads=2).train()
    before = torch.get_rng_state()
    model(torch.zeros(2, 3, 32, 32))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_scale_of_queries_and_keys_is_the_square_root_unless_it_is_said() -> None:
    torch.manual_seed(0)
    plain, said, other = Block(16, 2), Block(16, 2, qk_scale=8**-0.5), Block(16, 2, qk_scale=0.01)
    for block in (said, other):
        block.load_state_dict(plain.state_dict())
    x_NTD = torch.randn(2, 5, 16)
    torch.testing.assert_close(plain(x_NTD), said(x_NTD))
    assert not torch.allclose(plain(x_NTD), other(x_NTD))


@pytest.mark.parametrize(("width", "count"), [(0.5, 1_215_978), (2.5, 30_307_690), (0.75, 2_732_506)])
def test_a_width_of_power_cifar_net_is_free(width: float, count: int) -> None:
    with torch.device("meta"):
        model = models.build("PowerCifarNet", width=width)
    assert sum(p.numel() for p in model.parameters()) == count


def test_the_dropout_of_power_cifar_net_keeps_its_proportions() -> None:
    def dropouts(**arguments: Any) -> list[float]:
        with torch.device("meta"):
            layers = models.build("PowerCifarNet", **arguments).classifier
        return [layer.p for layer in layers if isinstance(layer, nn.Dropout)]

    assert dropouts() == [0.5, 0.5, 0.3]
    assert dropouts(dropout=0.2) == [0.2, 0.2, pytest.approx(0.12)]


def test_torchvision_and_a_factory_of_ones_own_are_given_theirs() -> None:
    with torch.device("meta"):
        theirs = models.build("torchvision:vit_b_16", input_shape=(3, 32, 32), dropout=0.25, image_size=32)
    assert any(isinstance(layer, nn.Dropout) and layer.p == 0.25 for layer in theirs.modules())
    mine = models.build("tests.bench.plan.test_model_args:Wider", input_shape=(3, 8, 8), scale=2.0)
    assert mine.scale == 2.0


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("torchvision:vit_b_16", {"droput": 0.1}, "takes no 'droput'.*Did you mean 'dropout'"),
        ("tests.bench.plan.test_model_args:Wider", {"scal": 2}, "takes no 'scal'.*Did you mean 'scale'"),
        ("tests.support.tiny:Net", {"scale": 2}, "It takes none"),
        ("tests.bench.plan.test_model_args:Sized", {}, "needs width, depth: write model_args = {width = …, depth = …}"),
        ("tests.bench.plan.test_model_args:Sized", {"width": 2}, "needs depth: write"),
        ("VGG19", {"width": 2}, "'VGG19' takes no arguments; drop model_args"),
        ("ViT_B16", {"hidden_dropout": 0.1}, "Did you mean 'hidden_dropout_prob'"),
        ("ViT_B16", {"hidden_dropout_prob": 1.0}, "= 1.0 should be a share from 0 to below 1"),
        ("ViT_B16", {"num_layers": True}, "= True should be a whole number from 1"),
        ("ViT_B16", {"num_heads": 5}, "hidden = 768 is not divisible by 5 heads"),
        ("PowerCifarNet", {"width": 0.001}, "leaves none of 64 channels"),
        ("torchvision:resnet18", {"weights": "DEFAULT"}, "'weights' is not set here"),
    ],
)
def test_an_argument_that_a_network_does_not_take_is_one_line(name: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        models.build(name, input_shape=(3, 8, 8) if "tests" in name else (3, 32, 32), **arguments)


def test_a_plan_refuses_it_before_anything_runs(planned: Callable[..., Plan]) -> None:
    for table, said in (
        (
            "{hidden_dropout = 0.1}",
            "model_args: 'ViT_B16' takes no 'hidden_dropout'. Did you mean 'hidden_dropout_prob'",
        ),
        ("0.1", "model_args: 0.1 is no table of arguments; write it as"),
        ("{qk_scale = nan}", "sets qk_scale to nan"),
        ("{a = {b = 1}}", "it should be a number, a word"),
        ('{"a b" = 1}', "no name of an argument"),
        ("{num_classes = 10}", "'num_classes' is not set here"),
    ):
        with pytest.raises(RequestError) as caught:
            planned(f'model = "ViT_B16"\nmodel_args = {table}')
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_it_may_be_an_axis_and_move_with_others(planned: Callable[..., Plan]) -> None:
    alone = planned(axis="model_args = [{}, {hidden_dropout_prob = 0.1}]")
    assert [cell.model_args for cell in alone.cells] == [None, '{"hidden_dropout_prob": 0.1}']
    assert narrow(alone, only=['model_args={"hidden_dropout_prob": 0.1}']) == alone.cells[1:]
    two = planned(axis="model_args = [{num_layers = 2, hidden = 96}, {num_layers = 3, hidden = 96}]")
    assert narrow(two, only=[f"model_args={two.cells[1].model_args}"]) == two.cells[1:], "a comma is in the value"
    tables = 'network = [{model = "PowerCifarNet", model_args = {width = 0.75}}, {model = "LeNet", model_args = {}}]'
    moving = planned(fixed="", axis=tables)
    assert [(cell.model, cell.model_args) for cell in moving.cells] == [
        ("PowerCifarNet", '{"width": 0.75}'),
        ("LeNet", None),
    ]


def test_arguments_are_part_of_a_cell_whatever_their_order_and_an_empty_table_is_none(
    planned: Callable[..., Plan],
) -> None:
    def cell(table: str) -> Cell:
        return planned(f'model = "ViT_B16"\nmodel_args = {table}').cells[0]

    one, other = cell("{num_layers = 2, hidden = 96}"), cell("{hidden = 96, num_layers = 2}")
    assert one == other
    assert one.group_id == other.group_id
    assert cell("{}").cell_id == planned().cells[0].cell_id != one.cell_id
    assert Cell.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_a_training_builds_what_the_cell_says() -> None:
    fields: dict[str, Any] = {"data": "digits", "precision": RECIPES["fp32"], "batch_size": 64}
    wide = Cell(model="PowerCifarNet", model_args='{"width": 0.25}', **fields)
    images = load_images("digits", 32)
    training = Training(wide, images, torch.device("cpu"))
    assert training.num_parameters == sum(p.numel() for p in build_model(wide, 10).parameters())
    assert training.num_parameters < 4_854_730 / 10, "a quarter of the width is a sixteenth of the weights"


def test_what_a_file_cannot_know_of_is_left_to_the_factory() -> None:
    assert why_refused("my.package:factory", {"anything": 1}) is None
    assert why_refused("hf:~/vit", {"num_layers": 2}) == "'hf:~/vit' takes no 'num_layers'. " + (
        "It takes hidden_dropout_prob, attention_dropout_prob, projection_dropout_prob, qk_scale."
    )


def test_evaluation_steps_may_have_a_size_of_their_own() -> None:
    fields: dict[str, Any] = {"data": "digits", "precision": RECIPES["fp32"], "batch_size": 256, "model": "LeNet"}
    images = load_images("digits", 32)
    seen: list[int] = []

    def sizes(**more: Any) -> list[int]:
        seen.clear()
        training = Training(Cell(**fields, **more), images, torch.device("cpu"))
        training.model.register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
        training.evaluate()
        return list(seen)

    assert sizes() == [256, 104]
    assert sizes(test_batch_size=100) == [100, 100, 100, 60]
    assert sizes(test_batch_size=512) == [360]


def test_arguments_after_a_colon_are_the_same_cell_as_a_table_of_them(planned: Callable[..., Plan]) -> None:
    (named,) = planned('model = "PowerCifarNet:width=1.7,dropout=0.4"').cells
    (table,) = planned('model = "PowerCifarNet"\nmodel_args = {dropout = 0.4, width = 1.7}').cells
    assert named == table
    assert named.cell_id == table.cell_id


@pytest.mark.parametrize(
    ("name", "model", "arguments"),
    [
        ("PowerCifarNet:width=2", "PowerCifarNet", {"width": 2}),
        ("timm:resnet18:drop_rate=0.1,act=relu", "timm:resnet18", {"drop_rate": 0.1, "act": "relu"}),
        ("my.nets:Net:deep=true", "my.nets:Net", {"deep": True}),
        ("my.nets:Net", "my.nets:Net", {}),
        ("VGG19", "VGG19", {}),
        ("hf:folder/a", "hf:folder/a", {}),
    ],
)
def test_a_models_name_is_told_from_the_arguments_after_it(name: str, model: str, arguments: dict[str, Any]) -> None:
    assert split_model(name) == (model, arguments)


def test_a_folder_whose_name_looks_like_arguments_stays_a_folder(tmp_path: Path) -> None:
    (tmp_path / "vit:width=2").mkdir()
    assert split_model(f"hf:{tmp_path}/vit:width=2") == (f"hf:{tmp_path}/vit:width=2", {})


def test_models_with_and_without_arguments_make_one_axis(planned: Callable[..., Plan]) -> None:
    axis = 'model = ["LeNet", "PowerCifarNet:width=0.5", "PowerCifarNet:width=0.7"]'
    cells = planned(fixed="", axis=axis).cells
    assert [(c.model, c.model_args) for c in cells] == [
        ("LeNet", None), ("PowerCifarNet", '{"width": 0.5}'), ("PowerCifarNet", '{"width": 0.7}')
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fixed", "axis", "words"),
    [
        ('model = "PowerCifarNet:widht=2"', "", "takes no 'widht'. Did you mean 'width'?"),
        ('model = "PowerCifarNet:width=2,width=3"', "", "names an argument twice"),
        ('model = "LeNet:dropout=0.1"', "", "'LeNet' takes no arguments"),
        ('model = "PowerCifarNet:width=2"\nmodel_args = {dropout = 0.1}', "", "and so does model_args; keep one"),
        ('model_args = {width = 2}', 'model = ["PowerCifarNet:width=3"]', "'model_args' stands in [fixed] too"),
        ('model = "PowerCifarNet"\n[[exclude]]\nmodel = "PowerCifarNet:width=2"\nbecause = "x"', "", "write model and"),
    ],
)  # fmt: skip
def test_wrong_arguments_in_a_name_are_said_in_one_line(
    fixed: str, axis: str, words: str, planned: Callable[..., Plan]
) -> None:
    with pytest.raises(RequestError) as caught:
        planned(fixed, axis)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
