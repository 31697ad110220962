"""What an answer says of adaptive rounds: after how many it was decided, and what was saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.answer.undecided import undecided
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.read.frame import Results, read
from tests.support.replayed_rounds import replay, shuffled
from tests.visualize.conftest import Folder, cell


def timed(path: Path, rounds: dict[str, int], rounds_said: str = '"adaptive"', **over: float) -> Results:
    """Return results of recipes with so many rounds each."""
    made = Folder(path)
    for recipe, num in rounds.items():
        for number in range(num):
            made.add(cell(recipe, epochs=0, round=number), cell_s=10.0, **over)
    made.write()
    plan = json.loads((path / "plan.json").read_text())
    (path / "plan.json").write_text(json.dumps(plan | {"toml": f"[measure]\nrounds = {rounds_said}\n"}))
    return read(path)


def line_of(results: Results) -> str:
    (answer,) = answers(results, standings(results, verdicts_of(results)))
    return next((line.text for line in answer.lines if line.topic == "rounds"), "")


def test_what_was_saved_is_told_in_timings_and_time(tmp_path):
    results = timed(tmp_path / "x", {"fp32": 3, "bf16_amp": 3, "tf32": 2}, noise=0.001)
    assert line_of(results) == (
        "rounds: decided after 3 of at most 12, by 8 timings in 80 s; saved against 12 rounds of all: 28 timings "
        "(about 4.7 min)"
    )


def test_a_fixed_number_of_rounds_is_not_spoken_of(tmp_path):
    assert not line_of(timed(tmp_path / "x", {"fp32": 3, "bf16_amp": 3}, "3"))


def test_noise_that_twelve_rounds_do_not_decide_is_told_with_the_rounds_that_would(tmp_path):
    results = timed(tmp_path / "x", {"fp32": 12, "tf32": 12}, noise=0.6)
    said = line_of(results)
    assert said.startswith("rounds: after 12, by 24 timings in 4 min, tf32 is still open, at ")
    assert said.endswith(("more rounds would tell", "no affordable number of rounds would tell"))


def test_rounds_that_were_interrupted_go_on(tmp_path):
    said = line_of(timed(tmp_path / "x", {"fp32": 2, "tf32": 2}, noise=0.6))
    assert "tf32 is still open" in said
    assert said.endswith("; the same command goes on")


@pytest.mark.parametrize(("noise", "num_open"), [(0.6, 1), (0.001, 0)])
def test_only_what_is_undecided_goes_on_with_its_reference(tmp_path, noise, num_open):
    results = timed(tmp_path / "x", {"fp32": 3, "tf32": 3}, noise=noise)
    (one,) = undecided(results, standings(results, verdicts_of(results)))
    assert len(one.contenders) == len(one.references) == num_open
    cells = results.cells.set_index("cell_id")
    for own, beside in zip(one.contenders, one.references, strict=True):
        assert set(cells.loc[list(own), "recipe"]) == {"tf32"}
        assert set(cells.loc[list(beside), "recipe"]) == {"fp32"}
        assert len(own) == len(beside) == 3


def test_a_recipe_that_cannot_overtake_the_advised_one_drops_out(tmp_path):
    """bf16 is told to be twice as fast; what is open between 0.9 and 1.2 cannot become the advice any more."""
    made = Folder(tmp_path / "x")
    wide = (0.9, 1.0, 1.2, 1.05)
    for number in range(4):
        made.add(cell("fp32", epochs=0, round=number), images_per_s=1000.0)
        made.add(cell("bf16", epochs=0, round=number), images_per_s=2000.0 + number)
        made.add(cell("tf32", epochs=0, round=number), images_per_s=1000.0 * wide[number])
    results = read(made.write())
    rows = standings(results, verdicts_of(results))
    assert {row.recipe: row.speed for row in rows} == {"fp32": "reference", "tf32": "can't tell", "bf16": "faster"}
    (one,) = undecided(results, rows)
    assert one.contenders == ()
    assert one.words == "bf16 2.0x as fast as fp32, tf32 1.03x as fast as fp32"


def test_a_recipe_whose_numbers_are_spoiled_drops_out(tmp_path):
    results = timed(tmp_path / "x", {"fp32": 2, "tf32": 2}, noise=0.6, foreign_processes=1)
    (one,) = undecided(results, standings(results, verdicts_of(results)))
    assert one.contenders == ()


def test_sixteen_bits_without_a_reference_drop_out(tmp_path):
    made = Folder(tmp_path / "x")
    for number in range(2):
        made.add(cell("fp32", epochs=0, round=number), "crashed")
        made.add(cell("bf16", epochs=0, round=number))
        made.add(cell("bf16_amp", epochs=0, round=number), noise=0.6)
    results = read(made.write())
    (one,) = undecided(results, standings(results, verdicts_of(results)))
    assert one.contenders == ()
    assert one.words == "no run of fp32 or tf32 ended well, so no round would decide anything"


def test_a_replay_over_fixed_rounds_takes_no_more_than_they_did(tmp_path):
    results = timed(tmp_path / "x", {"fp32": 6, "bf16_amp": 6, "tf32": 6}, "6", noise=0.001)
    rounds, fixed = replay(results, most=6)
    assert rounds == {"fp32": 2, "bf16_amp": 2, "tf32": 2}
    assert fixed == 2
    noisy = timed(tmp_path / "y", {"fp32": 6, "bf16_amp": 6}, "6", noise=0.9)
    assert replay(noisy, most=6) == ({"fp32": 6, "bf16_amp": 6}, 6)
    mixed = shuffled(results, np.random.default_rng(0)).whole
    assert sorted(mixed["round"]) == sorted(results.whole["round"])
    assert mixed["images_per_s"].equals(results.whole["images_per_s"])
