"""Learning-rate schedules: each is torch's own, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
from torch.optim import lr_scheduler

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.schedule import SCHEDULES, learning_rate

STEPS = 4
"""Steps an epoch."""


def cell(schedule: str, epochs: int, **fields: object) -> Cell:
    given = {"model": "LeNet", "data": "digits", "precision": RECIPES["fp32"], "batch_size": 64, "learning_rate": 0.3}
    return Cell(**given | {"schedule": schedule, "epochs": epochs} | fields)  # type: ignore[arg-type]


def rates(of: Cell) -> list[float]:
    """Return ours of every step of a run."""
    return [
        learning_rate(of, epoch=epoch, step=step, steps_per_epoch=STEPS)
        for epoch in range(of.epochs)
        for step in range(STEPS)
    ]


def torchs(
    of: Cell, kind: type[lr_scheduler.LRScheduler], *, per_step: bool = False, **settings: object
) -> list[float]:
    """Return torch's of every step of the same run."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=of.learning_rate)
    scheduler = kind(optimizer, **settings)  # type: ignore[arg-type]
    seen = []
    for step in range(of.epochs * STEPS):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (per_step or step % STEPS == STEPS - 1) and step < of.epochs * STEPS - 1:
            scheduler.step()
    return seen


def cosine(of: Cell, eta_min: float = 0.0) -> list[float]:
    return torchs(of, lr_scheduler.CosineAnnealingLR, T_max=of.epochs, eta_min=eta_min)


def multistep(of: Cell, *milestones: int) -> list[float]:
    return torchs(of, lr_scheduler.MultiStepLR, milestones=milestones, gamma=0.1)


def restarts(of: Cell) -> list[float]:
    return torchs(of, lr_scheduler.CosineAnnealingWarmRestarts, T_0=10, T_mult=2, eta_min=1e-6)


def same(ours: list[float], theirs: list[float]) -> bool:
    return ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_the_words_of_a_cell_are_the_functions() -> None:
    assert get_args(get_type_hints(Cell)["schedule"]) == tuple(SCHEDULES)


def test_constant_stays_and_so_does_every_schedule_of_a_timing() -> None:
    assert set(rates(cell("constant", 3))) == {0.3}
    for schedule in SCHEDULES:
        assert learning_rate(cell(schedule, 0), epoch=5, step=1, steps_per_epoch=STEPS) == 0.3


def test_cosine_is_torchs_over_the_runs_epochs() -> None:
    run = cell("cosine", 7)
    assert same(rates(run), cosine(run))


def test_warmup_rises_per_step_and_milestones_divide_by_ten() -> None:
    warm = cell("warmup_multistep", 9, learning_rate=1.0, warmup_epochs=1, milestones=(3, 6))
    assert rates(warm)[:STEPS] == pytest.approx([0.01, 0.2575, 0.505, 0.7525])
    assert same(rates(warm)[STEPS:], multistep(warm, 3, 6)[STEPS:])
    linear = torchs(warm, lr_scheduler.LinearLR, per_step=True, start_factor=0.01, total_iters=STEPS)
    assert same(rates(warm)[:STEPS], linear[:STEPS])


def test_warm_restarts_are_torchs_over_three_cycles() -> None:
    run = cell("warm_restarts", 75)
    assert same(rates(run), restarts(run))
    assert [rates(run)[epoch * STEPS] for epoch in (0, 10, 30, 70)] == [0.3] * 4


@pytest.mark.parametrize("epochs", [1, 3, 10])
def test_one_cycle_is_torchs_per_step_and_stays_down_after_the_run(epochs: int) -> None:
    run = cell("one_cycle", epochs)
    theirs = torchs(
        run,
        lr_scheduler.OneCycleLR,
        per_step=True,
        max_lr=0.3,
        total_steps=epochs * STEPS,
        cycle_momentum=False,
    )
    assert same(rates(run), theirs)
    assert learning_rate(run, epoch=epochs, step=2, steps_per_epoch=STEPS) == rates(run)[-1]


@pytest.mark.parametrize("epochs", [40, 60])
def test_stable_is_cosine_for_large_batches_and_steps_at_30_and_45_else(epochs: int) -> None:
    large, small = (cell("stable", epochs, batch_size=batch_size) for batch_size in (256, 255))
    assert same(rates(large), cosine(large))
    assert same(rates(small), multistep(small, 30, 45))


@pytest.mark.parametrize("epochs", [3, 50])
def test_advanced_goes_by_the_batch(epochs: int) -> None:
    large, middle, small = (cell("advanced", epochs, batch_size=batch_size) for batch_size in (256, 128, 127))
    assert same(rates(large), restarts(large))
    assert same(rates(middle), cosine(middle, eta_min=1e-6))
    assert same(rates(small), multistep(small, int(0.6 * epochs), int(0.8 * epochs)))
    alone = cell("advanced", 1, batch_size=64)
    assert set(rates(alone)) == {alone.learning_rate}


def test_a_milestone_that_the_run_never_reaches_is_refused_where_the_plan_is_made() -> None:
    def plan(schedule: str, epochs: int, milestones: str = "") -> None:
        head = 'question = "Q?"\n[fixed]\nmodel = "LeNet"\ndata = "digits"\nprecision = "fp32"\nbatch_size = 8\n'
        text = f'{head}schedule = "{schedule}"\nepochs = {epochs}\n{milestones}'
        make_plan(parse_experiment(Path("trial.toml"), text))

    with pytest.raises(RequestError) as refused:
        plan("warmup_multistep", 60, "milestones = [30, 60]")
    reason = "60 is never reached in 60 epochs, numbered from 0; drop it or train longer"
    assert str(refused.value) == f"trial.toml, [matrix] milestones: {reason}"
    plan("warmup_multistep", 61, "milestones = [30, 60]")
    with pytest.raises(RequestError, match="warmup_epochs: 5 do not end in 4 epochs; shorten it or train longer"):
        plan("warmup_multistep", 4, "milestones = []\nwarmup_epochs = 5")
    plan("warmup_multistep", 5, "milestones = []\nwarmup_epochs = 5")
    with pytest.raises(RequestError, match="accumulation: 8 images have no 9 parts"):
        plan("cosine", 9, "accumulation = 9")
    with pytest.raises(RequestError, match="learning_rate"):
        plan("cosine", 9, "learning_rate = inf")
    plan("warmup_multistep", 0)
    plan("cosine", 9)
