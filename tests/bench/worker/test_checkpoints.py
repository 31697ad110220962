"""A killed training is resumed with all its results; a foreign or damaged checkpoint is recognised."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.train.state.checkpoint_file import (
    DAMAGED,
    NEWEST,
    PREVIOUS,
    delete_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from ampbench.bench.train.state.model_state import load_model_state
from ampbench.bench.train.training import Training
from ampbench.bench.worker.checkpoints import Checkpoints
from ampbench.bench.worker.measurement import Measurement
from tests.bench.train.state.test_checkpoint import ALL, CPU, cell
from tests.support.measuring import plain, row_of
from tests.support.thinned import thinned
from tests.support.tiny import Net


def measurement(recipe: Recipe, folder: Path, **fields: object) -> Measurement:
    described = cell(recipe, **fields)
    measure = MeasurementProtocol(numerics_samples=4, passes=())
    checkpoints = Checkpoints(folder, 0.0, described.cell_id, "here")
    return Measurement(described, measure, CPU, lambda **_: None, checkpoints)


class KilledError(Exception):
    """Replaces a kill."""


@pytest.mark.parametrize("name", thinned(["fp32", "bf16_amp_scaled", "bf16_stochastic"], kept=2))
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
        if len(plain(killed.outcome.traces.epochs)) == 2:
            raise KilledError
        return evaluate(training)

    monkeypatch.setattr(Training, "evaluate", killing)
    with pytest.raises(KilledError):
        killed.take()
    monkeypatch.undo()

    resumed = measurement(ALL[name], tmp_path / "killed")
    resumed.take()
    assert row_of(resumed)["num_resumes"] == 1
    timeless = ("step", "epoch", "loss", "loss_scale_factor", "skipped", "headroom_bits")
    assert [[row.get(k) for k in timeless] for row in plain(resumed.outcome.traces.steps)] == [
        [row.get(k) for k in timeless] for row in plain(whole.outcome.traces.steps)
    ]
    assert plain(resumed.outcome.traces.layers) == plain(whole.outcome.traces.layers)
    assert plain(resumed.outcome.traces.exponents) == plain(whole.outcome.traces.exponents)
    for quality in ("test_accuracy", "test_loss", "best_test_accuracy", "num_skipped", "num_steps"):
        assert row_of(resumed)[quality] == row_of(whole)[quality]
    num_timed = sum(block.num_steps for block in resumed.timing.clock.blocks)
    assert num_timed == row_of(whole)["num_steps"] - 2  # two processes, two dtype checks


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
    threads = torch.get_num_threads()
    monkeypatch.setattr("torch.get_num_threads", lambda: threads + 6)
    with pytest.raises(ValueError, match=f"num_threads = {threads}, here it is {threads + 6}"):
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
    """A layer whose extra state is not data."""

    def get_extra_state(self) -> object:
        return Path("/")

    def set_extra_state(self, state: object) -> None:
        raise AssertionError("never saved")


class Extra(Diary):
    """A layer whose extra state is data."""

    got: object = None

    def get_extra_state(self) -> object:
        return {"seen": (1, [2.0, "three"])}

    def set_extra_state(self, state: object) -> None:
        type(self).got = state


def test_what_cannot_be_in_a_checkpoint_costs_the_checkpoint_and_not_the_training(tmp_path: Path) -> None:
    without = measurement(RECIPES["fp32"], tmp_path, epochs=2, model="tests.bench.worker.test_checkpoints:Diary")
    without.take()
    assert row_of(without)["passes_failed"].startswith(
        "no checkpoint after epoch 1: UnkeptError: _extra_state is a PosixPath"
    )
    assert not list(tmp_path.glob("*.pt"))
    with_it = measurement(RECIPES["fp32"], tmp_path, epochs=2, model="tests.bench.worker.test_checkpoints:Extra")
    with_it.take()
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    net = Extra()
    load_model_state(net, saved["training"]["model"])
    assert net.got == {"seen": (1, [2.0, "three"])}


def test_each_block_is_told_with_its_step_and_each_epoch_once_to_whoever_hears_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, object]] = []
    killed = measurement(RECIPES["fp32"], tmp_path)
    killed.timing.report = lambda **facts: told.append(facts)
    save = Checkpoints.save

    def killing(*arguments: object, epoch: int, **rest: object) -> None:
        save(*arguments, epoch=epoch, **rest)  # type: ignore[arg-type]
        if epoch == 2:
            raise KilledError

    monkeypatch.setattr(Checkpoints, "save", killing)
    monkeypatch.setattr("ampbench.bench.worker.outcome.Outcome.note_failure", lambda self, what, e: _again(e))
    with pytest.raises(KilledError):
        killed.take()
    monkeypatch.undo()
    assert [facts["epoch_row"]["epoch"] for facts in told if "epoch_row" in facts] == [1]  # type: ignore[index]

    told.clear()
    resumed = measurement(RECIPES["fp32"], tmp_path)
    resumed.timing.report = lambda **facts: told.append(facts)
    resumed.take()
    assert [facts["epoch_row"]["epoch"] for facts in told if "epoch_row" in facts] == [1, 2, 3]  # type: ignore[index]
    losses = {row.step: row.loss for row in resumed.outcome.traces.steps}
    blocks = [(facts["step"], facts["loss"]) for facts in told if "step" in facts]
    assert blocks
    assert blocks == [(step, losses[step]) for step, _ in blocks]  # type: ignore[index]


def _again(error: BaseException) -> None:
    raise error
