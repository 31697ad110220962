"""A training that was interrupted equals one that was not, bit for bit; a damaged checkpoint is passed over."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.train.checkpoint import (
    DAMAGED,
    NEWEST,
    PREVIOUS,
    delete_checkpoints,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from ampbench.bench.train.images import Images, load_images
from ampbench.bench.train.model_state import load_model_state, model_state
from ampbench.bench.train.training import Training
from ampbench.bench.worker.checkpoints import Checkpoints
from ampbench.bench.worker.measurement import Measurement
from tests.support import stateful
from tests.support.tiny import Net

CPU = torch.device("cpu")
BF16 = {"weights": "bf16", "compute": "bf16"}
OWN = {
    "bf16_master": Recipe(name="bf16_master", master_weights=True, **BF16),  # type: ignore[arg-type]
    "bf16_kahan": Recipe(name="bf16_kahan", rounding="kahan", **BF16),  # type: ignore[arg-type]
    "bf16_stochastic": Recipe(name="bf16_stochastic", rounding="stochastic", **BF16),  # type: ignore[arg-type]
    "fp16_master": Recipe(
        name="fp16_master", weights="fp16", compute="fp16", master_weights=True, loss_scale="dynamic:init=64,interval=2"
    ),
}
ALL = {name: recipe for name, recipe in RECIPES.items() if not recipe.needs_gpu} | OWN


def cell(recipe: Recipe, **fields: object) -> Cell:
    given = {"model": "tests.support.tiny:Net", "data": "digits", "image_size": 8, "batch_size": 512, "epochs": 3}
    return Cell(**given | {"precision": recipe, "learning_rate": 0.05} | fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("digits", 8)


CASES = [(name, "sgd") for name in ALL] + [(name, "adam") for name in ("bf16", "bf16_amp_scaled", "bf16_kahan")]


@pytest.mark.parametrize(("name", "optimizer"), CASES)
def test_a_resumed_training_is_the_same_bit_for_bit(name: str, optimizer: str, images: Images, tmp_path: Path) -> None:
    whole = Training(cell(ALL[name], optimizer=optimizer), images, CPU)
    for _ in whole.steps(0):
        pass
    save_checkpoint(tmp_path, {"training": whole.state_dict(), "epoch": 1})
    expected = [float(step.loss) for step in whole.steps(1)]
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    torch.manual_seed(99)
    resumed = Training(cell(ALL[name], optimizer=optimizer), images, CPU)
    resumed.load_state_dict(saved["training"])
    assert [float(step.loss) for step in resumed.steps(1)] == expected
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    assert whole.precision.scaler.state_dict() == resumed.precision.scaler.state_dict()


def test_a_resumed_average_of_weights_is_the_same_bit_for_bit(images: Images, tmp_path: Path) -> None:
    averaged = cell(ALL["fp32"], ema_decay=0.9)
    whole = Training(averaged, images, CPU)
    for _ in whole.steps(0):
        pass
    save_checkpoint(tmp_path, {"training": whole.state_dict()})
    for _ in whole.steps(1):
        pass
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    resumed = Training(averaged, images, CPU)
    resumed.load_state_dict(saved["training"])
    for _ in resumed.steps(1):
        pass
    assert whole.evaluate() == resumed.evaluate()


def measurement(recipe: Recipe, folder: Path, **fields: object) -> Measurement:
    described = cell(recipe, **fields)
    measure = MeasurementProtocol(numerics_samples=4)
    checkpoints = Checkpoints(folder, 0.0, described.cell_id, "here")
    return Measurement(described, measure, CPU, lambda **_: None, checkpoints)


class KilledError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("name", ["fp32", "bf16_amp_scaled", "bf16_stochastic"])
def test_a_session_killed_in_an_epoch_goes_on_with_all_it_had(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = measurement(ALL[name], tmp_path / "whole")
    whole.take()

    killed = measurement(ALL[name], tmp_path / "killed")
    evaluate = Training.evaluate

    def killing(training: Training) -> object:
        if len(killed.traces.epochs) == 2:
            raise KilledError
        return evaluate(training)

    monkeypatch.setattr(Training, "evaluate", killing)
    with pytest.raises(KilledError):
        killed.take()
    monkeypatch.undo()

    resumed = measurement(ALL[name], tmp_path / "killed")
    resumed.take()
    assert resumed.row["num_resumes"] == 1
    timeless = ("step", "epoch", "loss", "loss_scale_factor", "skipped", "headroom_bits")
    assert [[row.get(k) for k in timeless] for row in resumed.traces.steps] == [
        [row.get(k) for k in timeless] for row in whole.traces.steps
    ]
    assert resumed.traces.layers == whole.traces.layers
    assert resumed.traces.exponents == whole.traces.exponents
    for quality in ("test_accuracy", "test_loss", "best_test_accuracy", "num_skipped", "num_steps"):
        assert resumed.row[quality] == whole.row[quality]
    num_timed = sum(block.num_steps for block in resumed.timing.clock.blocks)
    assert num_timed == whole.row["num_steps"] - 2  # two processes, two proofs


def test_another_number_of_threads_or_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measurement(RECIPES["fp32"], tmp_path, epochs=2)
    first.take()
    assert (tmp_path / NEWEST).exists()
    for change, what in (({"environment_id": "elsewhere"}, "environment_id"), ({"cell_id": "other"}, "cell_id")):
        again = measurement(RECIPES["fp32"], tmp_path, epochs=2)
        assert again.checkpoints is not None
        again.checkpoints = dataclasses.replace(again.checkpoints, **change)
        with pytest.raises(ValueError, match=f"made with {what} = .*delete checkpoint|made with {what} = .*deleting"):
            again.take()
    again = measurement(RECIPES["fp32"], tmp_path, epochs=2)
    monkeypatch.setattr("torch.get_num_threads", lambda: 7)
    with pytest.raises(ValueError, match="num_threads = 1, here it is 7"):
        again.take()


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for epoch in (1, 2):
        save_checkpoint(tmp_path, {"epoch": epoch, "x": torch.arange(1000.0)})
    assert load_checkpoint(tmp_path)["epoch"] == 2  # type: ignore[index]
    content = (tmp_path / NEWEST).read_bytes()
    place = content.index(torch.arange(1000.0).numpy().tobytes()[400:800])
    (tmp_path / NEWEST).write_bytes(content[:place] + b"\xff" + content[place + 1 :])
    assert load_checkpoint(tmp_path)["epoch"] == 1  # type: ignore[index]
    assert "is damaged (checksum of" in capsys.readouterr().err
    assert not (tmp_path / NEWEST).exists()
    (tmp_path / PREVIOUS).write_bytes(content[: len(content) // 2])
    assert load_checkpoint(tmp_path) is None
    assert "is truncated or no checkpoint" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {DAMAGED, PREVIOUS}, "nothing is deleted"
    delete_checkpoints(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_holds_code_is_not_opened(tmp_path: Path) -> None:
    torch.save({"epoch": Path("/")}, tmp_path / NEWEST)
    with pytest.raises(ValueError, match="holds more than tensors"):
        read_checkpoint(tmp_path / NEWEST)


def test_a_save_keeps_the_one_before(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        save_checkpoint(tmp_path, {"epoch": epoch})
    assert sorted(p.name for p in tmp_path.iterdir()) == [PREVIOUS, NEWEST]
    assert (read_checkpoint(tmp_path / NEWEST)["epoch"], read_checkpoint(tmp_path / PREVIOUS)["epoch"]) == (3, 2)


KEPT = [kind.__name__ for kind in stateful.RESTORED if kind is not stateful.CountingElsewhere]
"""Of which a checkpoint has everything: what is in a class or a module's variables is not the model's."""


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("name", ["fp32", "bf16"])
@pytest.mark.parametrize("model", KEPT)
def test_what_a_model_holds_beside_its_weights_is_part_of_a_checkpoint(
    model: str, name: str, ema_decay: float, images: Images, tmp_path: Path
) -> None:
    described = cell(ALL[name], model=f"tests.support.stateful:{model}", ema_decay=ema_decay)
    whole = Training(described, images, CPU)
    for _ in whole.steps(0):
        pass
    save_checkpoint(tmp_path, {"training": whole.state_dict()})
    expected = [float(step.loss) for step in whole.steps(1)]
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    torch.manual_seed(99)
    resumed = Training(described, images, CPU)
    resumed.load_state_dict(saved["training"])
    assert [float(step.loss) for step in resumed.steps(1)] == expected
    assert resumed.evaluate() == whole.evaluate()
    assert whole.model.state_dict().keys() == resumed.model.state_dict().keys()


def test_a_used_model_goes_back_to_where_it_had_fewer_buffers() -> None:
    net = stateful.RegisteredLate()
    start = model_state(net)
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    start = copy.deepcopy(start)
    net(torch.randn(2, 3, 8, 8))
    net.added = 3
    with torch.no_grad():
        net.linear.weight.fill_(float("nan"))
    load_model_state(net, start)
    assert net.state_dict().keys() == weights.keys()
    assert not hasattr(net, "added")
    assert torch.equal(net.linear.weight, weights["linear.weight"])


def test_a_checkpoint_of_another_model_says_so_in_a_line_and_stays(tmp_path: Path) -> None:
    first = measurement(RECIPES["fp32"], tmp_path, epochs=2)
    first.take()
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    del saved["training"]["model"]["state_dict"]["linear.weight"]
    save_checkpoint(tmp_path, saved)
    kept = (tmp_path / NEWEST).read_bytes()
    with pytest.raises(ValueError, match=r"^the checkpoint is of another model.*linear\.weight") as e:
        measurement(RECIPES["fp32"], tmp_path, epochs=2).take()
    assert "\n" not in str(e.value)
    assert (tmp_path / NEWEST).read_bytes() == kept


class Diary(Net):
    """Whose extra state is no data."""

    def get_extra_state(self) -> object:
        return Path("/")

    def set_extra_state(self, state: object) -> None:
        raise AssertionError("never saved")


class Extra(Diary):
    """Whose extra state is."""

    got: object = None

    def get_extra_state(self) -> object:
        return {"seen": (1, [2.0, "three"])}

    def set_extra_state(self, state: object) -> None:
        type(self).got = state


def test_what_cannot_be_in_a_checkpoint_costs_the_checkpoint_and_not_the_training(tmp_path: Path) -> None:
    without = measurement(RECIPES["fp32"], tmp_path, epochs=2, model="tests.bench.train.test_checkpoint:Diary")
    without.take()
    assert without.row["passes_failed"].startswith(
        "no checkpoint after epoch 1: UnkeptError: _extra_state is a PosixPath"
    )
    assert not list(tmp_path.glob("*.pt"))
    with_it = measurement(RECIPES["fp32"], tmp_path, epochs=2, model="tests.bench.train.test_checkpoint:Extra")
    with_it.take()
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    net = Extra()
    load_model_state(net, saved["training"]["model"])
    assert net.got == {"seen": (1, [2.0, "three"])}
