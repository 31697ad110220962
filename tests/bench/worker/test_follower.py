"""A rank other than 0 carries out its orders, and refuses what is not an order."""

from __future__ import annotations

from multiprocessing import Pipe
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from ampbench.bench.train.orders import (
    CountHits,
    Evaluate,
    Finish,
    GatherState,
    LoadState,
    OpenEpoch,
    Order,
    TakeStep,
)
from ampbench.bench.train.ranks import Ranks
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.worker import follower as follower_file
from ampbench.bench.worker.follower import Follower, Orders

CHECK, LATE = "check_first_step", "refuse_late_weights"

EXPECTED: dict[Order, list[str]] = {
    OpenEpoch(3): ["steps(3)"],
    TakeStep(): [CHECK, LATE, "refuse()", "compile()"],
    Evaluate(): ["evaluate()"],
    CountHits(): ["count_hits()"],
    GatherState(): ["state_dict()"],
    LoadState(): ["load_state_dict({})"],
}


class Recording:
    """Replaces a training: records what is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def note(*arguments: Any) -> Any:
            self.calls.append(f"{name}({', '.join(map(repr, arguments))})")
            return iter(())

        return note


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Any:
    def check(training: Recording, *_: object) -> Any:
        training.calls.append(CHECK)
        return SimpleNamespace(refuse=lambda: training.calls.append("refuse()"))

    monkeypatch.setattr(follower_file, "check_first_step", check)
    monkeypatch.setattr(follower_file, "refuse_late_weights", lambda training: training.calls.append(LATE))
    return Recording()


def test_the_set_of_orders_is_the_one_that_is_tested_here() -> None:
    assert {type(order) for order in EXPECTED} == set(get_args(Order))


@pytest.mark.parametrize("order", EXPECTED, ids=lambda order: type(order).__name__)
def test_every_order_is_carried_out(order: Order, training: Any) -> None:
    Follower(training).carry_out(order)
    assert training.calls == EXPECTED[order]


@pytest.mark.parametrize("unknown", ["step", ("step",), None, Finish()])
def test_what_is_no_order_is_refused(unknown: Any, training: Any) -> None:
    with pytest.raises(RuntimeError, match="which is no order that a rank knows: all must run the same version"):
        Follower(training).carry_out(unknown)
    assert not training.calls


def test_an_evaluation_that_diverged_is_left_to_rank_0(training: Any) -> None:
    def diverge() -> None:
        raise Diverged("the test loss is nan")

    training.evaluate = diverge
    Follower(training).carry_out(Evaluate())


def test_orders_arrive_in_order_and_end_with_finish() -> None:
    hears, speaks = Pipe(duplex=False)
    rank_0 = Ranks(world_size=2, followers=(speaks,))
    sent: list[Order] = [OpenEpoch(0), TakeStep(), CountHits(), OpenEpoch(1)]
    orders = Orders(hears)
    for order in sent:
        rank_0.tell(order)
    rank_0.tell(Finish())
    assert list(orders) == sent
    assert orders.finished.is_set()
