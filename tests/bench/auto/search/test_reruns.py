"""The reruns of the best trials say what to expect of a setting; the trials, from which the best was chosen, do not."""

from __future__ import annotations

import random
from dataclasses import replace

from ampbench.schema.search import SearchRecord, Trial, best_first, settled


def test_among_equal_settings_the_reruns_say_what_to_expect_and_the_luckiest_trial_too_much() -> None:
    rng, told, lucky = random.Random(0), [], []
    for _ in range(300):
        trials = tuple(Trial(study="", number=i, values={"x": i}, cell_id=f"t{i}") for i in range(20))
        record = SearchRecord(objective="test_accuracy", greater_is_better=True, num_trials=20, space=(), trials=trials)
        values = {t.cell_id: rng.gauss(0.9, 0.01) for t in trials}
        top = {t.number for t in best_first(record, "", values)[:3]}
        again = tuple(
            replace(t, reruns=tuple(f"r{t.number}.{i}" for i in range(3))) if t.number in top else t for t in trials
        )
        values |= {cell: rng.gauss(0.9, 0.01) for t in again for cell in t.reruns}
        found = settled(replace(record, trials=again), "", values)
        told.append(found.best.mean)
        lucky.append(found.luckiest.value)
    assert abs(sum(told) / 300 - 0.9) < 0.006  # the best of 3 means of 3: 0.85 * 0.01 / sqrt(3)
    assert sum(lucky) / 300 > 0.9 + 0.017  # the largest of 20


def test_the_interval_of_a_mean_over_reruns_holds_the_truth_in_95_of_100() -> None:
    rng, held = random.Random(1), 0
    trials = tuple(
        Trial(study="", number=i, values={"x": i}, cell_id=f"t{i}", reruns=tuple(f"r{i}.{k}" for k in range(3)))
        for i in range(3)
    )
    record = SearchRecord(objective="test_accuracy", greater_is_better=True, num_trials=3, space=(), trials=trials)
    for _ in range(1000):
        values = {cell: rng.gauss(0.9, 0.01) for t in trials for cell in (t.cell_id, *t.reruns)}
        one = settled(record, "", values).settings[0]
        held += abs(one.mean - 0.9) <= one.half_width
    assert 930 <= held <= 970
