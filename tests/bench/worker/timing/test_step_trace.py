"""The course of a loss scale, from values that the steps left on the device."""

from __future__ import annotations

import torch
from torch import nn

from ampbench.bench.plan.loss_scale import LossScale
from ampbench.bench.train.precision.scaler import Scaler
from ampbench.bench.train.step import Step
from ampbench.bench.worker.loss_scaling import loss_scaling
from ampbench.bench.worker.timing.step_trace import StepTrace
from ampbench.schema.precision import LossScaling


def trace_of(gradients: list[float], scale: str, *, skipped_before: float = 0.0) -> StepTrace:
    weight, scaler = nn.Parameter(torch.ones(2)), Scaler(LossScale.parse(scale), torch.device("cpu"))
    scaler.num_skipped.fill_(skipped_before)
    optimizer = torch.optim.SGD([weight], lr=0.0)
    trace = StepTrace(skipped_before)
    for i, gradient in enumerate(gradients):
        optimizer.zero_grad()
        scaler.scale((weight * gradient).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        trace.add(Step(torch.tensor(float(i)), 32 - i, scaler.tally_2))
        if i % 2:
            trace.pack()
    return trace


def test_every_step_keeps_its_own_loss_its_scale_and_whether_it_was_skipped() -> None:
    inf = float("inf")
    rows = trace_of([1.0, inf, inf, 1.0, 1.0, 1.0], "dynamic:init=16,interval=2", skipped_before=3.0).read(7, epoch=1)
    assert [row.step for row in rows] == [7, 8, 9, 10, 11, 12]
    assert {row.epoch for row in rows} == {2}
    assert [row.loss for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [row.loss_scale_factor for row in rows] == [16, 16, 8, 4, 4, 8]
    assert [row.skipped for row in rows] == [False, True, True, False, False, False]
    assert [row.num_images for row in rows] == [32, 31, 30, 29, 28, 27]
    assert loss_scaling(rows, [], 16.0) == LossScaling(
        num_steps=6,
        num_skipped=0,
        final_loss_scale=16.0,
        num_growths=2,
        num_backoffs=2,
        min_loss_scale=4,
        max_loss_scale=16,
        wasted_images=31 + 30,
    )


def test_without_a_scaler_there_is_no_story() -> None:
    rows = trace_of([1.0, 1.0], "none").read(1, epoch=0)
    assert [(row.loss_scale_factor, row.skipped) for row in rows] == [(None, None)] * 2
    assert loss_scaling(rows, [], None) == LossScaling(num_steps=2, num_skipped=0)


def test_an_epoch_without_steps_reads_as_nothing() -> None:
    assert StepTrace(0.0).read(1, epoch=0) == []
