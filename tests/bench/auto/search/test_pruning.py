"""A bar that is decided before a trial ends it where Optuna's pruner, asked at every epoch, would."""

from __future__ import annotations

import random

import pytest

from ampbench.bench.auto.search.pruning import pruning_of, rungs
from ampbench.bench.plan.pruning import Pruning
from ampbench.bench.plan.search import Range, Search, SearchSettings

EPOCHS = 10


def search_with(pruner: str, objective: str = "test_accuracy") -> Search:
    settings = SearchSettings(pruner=pruner, objective=objective)  # type: ignore[arg-type]
    return Search(settings=settings, space=(Range(field="x", low=0.0, high=1.0),))


def stopped_at(bars: Pruning | None, course: dict[int, float]) -> int | None:
    if bars is None:
        return None
    for epoch in range(1, EPOCHS):
        if bars.why_stopped([(e, v) for e, v in course.items() if e <= epoch], epoch):
            return epoch
    return None


@pytest.mark.parametrize("objective", ["test_accuracy", "test_loss"])
def test_the_median_ends_a_trial_where_optuna_does(objective: str) -> None:
    optuna = pytest.importorskip("optuna", reason="a search needs optuna, of requirements-dev.txt")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng, ended = random.Random(0), 0
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=EPOCHS // 5)
    direction = "maximize" if objective == "test_accuracy" else "minimize"
    for _ in range(60):
        study = optuna.create_study(direction=direction, pruner=pruner)
        finished = [{e: rng.random() for e in range(1, EPOCHS + 1)} for _ in range(rng.randint(3, 9))]
        for course in finished:
            study.add_trial(optuna.create_trial(value=course[EPOCHS], intermediate_values=course))
        course = {e: rng.random() for e in range(1, EPOCHS + 1)}
        trial, theirs = study.ask(), None
        for epoch in range(1, EPOCHS):
            trial.report(course[epoch], epoch)
            if theirs is None and trial.should_prune():
                theirs = epoch
        ours = stopped_at(
            pruning_of(search_with("median", objective), finished=finished, others=[], epochs=EPOCHS), course
        )
        assert ours == theirs
        ended += ours is not None
    assert 10 < ended < 60


def test_halving_lets_about_a_third_go_on_at_each_rung() -> None:
    assert rungs(10) == [1, 3]
    assert rungs(27) == [1, 3, 9]
    assert rungs(2) == []
    rng, reached = random.Random(0), {1: 0, 3: 0, EPOCHS: 0}
    courses: list[dict[int, float]] = []
    for _ in range(300):
        level = rng.random()
        course = dict.fromkeys(range(1, EPOCHS + 1), level)
        bars = pruning_of(search_with("halving"), finished=courses, others=[], epochs=EPOCHS)
        at = stopped_at(bars, course) or EPOCHS
        courses.append({e: v for e, v in course.items() if e <= at})
        reached[at] += 1
    assert reached[1] > 300 / 2
    assert 300 / 20 < reached[EPOCHS] < 300 / 3


def test_nothing_is_ended_by_too_few_trials_or_without_a_pruner() -> None:
    courses = [dict.fromkeys(range(1, EPOCHS + 1), 1.0)] * 4
    assert pruning_of(search_with("median"), finished=courses, others=[], epochs=EPOCHS) is None
    assert pruning_of(search_with("none"), finished=courses * 5, others=[], epochs=EPOCHS) is None
    assert pruning_of(search_with("halving"), finished=courses[:2], others=[], epochs=EPOCHS) is None


def test_bars_survive_their_way_to_a_worker() -> None:
    import dataclasses
    import json

    bars = Pruning(objective="test_loss", greater_is_better=False, bars=((2, 0.5), (3, 0.4)), because="a median")
    assert Pruning.from_json(json.loads(json.dumps(dataclasses.asdict(bars)))) == bars
    assert bars.why_stopped([(1, None), (2, 0.6)], 2) == "best test loss 0.6 up to epoch 2 is worse than 0.5, a median"
    assert bars.why_stopped([(1, 0.3), (2, 0.6)], 2) is None
    assert bars.why_stopped([(1, None)], 2) is None
