"""Adaptive rounds: the budget goes where the advice is undecided, and a kill at any moment changes nothing.

What is open is said by a plain rule, or, in the tests that are `judged`, by the judge that is always asked.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ampbench.bench.auto import rounds as auto_rounds
from ampbench.bench.auto.question import Open, Subject
from ampbench.bench.auto.rounds import run_plan
from ampbench.bench.launch.options import Options
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan, narrow
from ampbench.bench.store.folder import Folder
from ampbench.visualize.undecided import question_of
from tests.support.drawn import Drawn
from tests.support.made_judge import asked_made

TEXT = """
question = "Q?"
[matrix]
batch_size = [64]
precision = ["fp32", "tf32", "bf16", "bf16_amp"]
[fixed]
model = "LeNet"
data = "synthetic"
epochs = 0
[measure]
rounds = "adaptive"
"""
TWO = TEXT.replace(', "bf16", "bf16_amp"', "")
SPEEDS = {"fp32": 1.0, "tf32": 1.012, "bf16": 0.4, "bf16_amp": 0.7}


def asked_here(folder: Folder, *, mixed: bool) -> tuple[Subject, ...]:
    """Ask the real judge in this process, which takes a tenth of the time."""
    return tuple(
        Subject(
            name=one["subject"],
            words=one["words"],
            open=tuple(Open(cells=frozenset(o["cells"]), beside=frozenset(o["beside"])) for o in one["open"]),
        )
        for one in question_of(folder.path, mixed=mixed)
    )


@pytest.fixture(autouse=True)
def unjoined() -> None:
    """Let tables be joined: the judge reads them."""


@pytest.fixture(autouse=True)
def made_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decide by a plain rule."""
    monkeypatch.setattr(auto_rounds, "ask", asked_made)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, made_judge: None) -> None:
    """Decide as always."""
    monkeypatch.setattr(auto_rounds, "ask", asked_here)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that runs an experiment with a launcher, and returns what was printed."""
    monkeypatch.setattr("ampbench.bench.launch.sweep.print_report", lambda *_, **__: out.write("REPORT\n"))
    out = io.StringIO()

    def run(
        launcher: Drawn, text: str = TEXT, only: tuple[str, ...] = (), shard: tuple[int, int] = (0, 1), **options: Any
    ) -> str:
        out.truncate(0)
        out.seek(0)
        plan = make_plan(parse_experiment(tmp_path / "x.toml", text))
        cells = narrow(plan, only=only, shard=shard)
        code = run_plan(
            plan, cells, Options(launcher=launcher, results=tmp_path, **options), Console(file=out, width=200)
        )
        assert code == options.pop("code", 0)
        return out.getvalue()

    return run


def rows(tmp_path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(tmp_path / "x" / "cells.parquet").to_pylist()
    return found


def rounds_of(tmp_path: Path) -> Counter[str]:
    return Counter(row["precision"] for row in rows(tmp_path))


def test_what_is_decided_stops_and_what_is_open_goes_on_with_its_reference(run, judged, tmp_path):
    launcher = Drawn(speeds=SPEEDS)
    said = run(launcher)
    num = rounds_of(tmp_path)
    assert num["bf16"] == num["bf16_amp"] == 2
    assert num["fp32"] == num["tf32"] > 2
    assert len(launcher.ran) == len(set(launcher.ran)) == sum(num.values()) == len(rows(tmp_path))
    assert said.count("REPORT") == 1
    assert said.count("is far away") == 1
    assert "After 2 rounds: " in said
    assert "open: tf32" in said


def test_all_is_decided_after_two_rounds_where_noise_is_small(run, judged, tmp_path):
    said = run(Drawn(speeds=SPEEDS | {"tf32": 1.5}, spread=1e-4))
    assert set(rounds_of(tmp_path).values()) == {2}
    assert "open" not in said


def test_noise_ends_after_twelve_rounds_with_the_rounds_that_would_decide(run, judged, tmp_path):
    said = run(Drawn(speeds=SPEEDS | {"tf32": 1.02}, spread=0.2), TWO)
    assert rounds_of(tmp_path)["tf32"] == 12
    assert "After 12 rounds: " in said


@pytest.mark.parametrize(("victim", "judge"), [(1, asked_made), (4, asked_here), (7, asked_made)])
def test_a_kill_at_any_moment_comes_to_the_same_plan_and_repeats_no_cell(run, tmp_path, monkeypatch, victim, judge):
    class Killed(Exception):
        pass

    def kill(_: object) -> None:
        if len(killed.ran) == victim:
            raise Killed

    monkeypatch.setattr(auto_rounds, "ask", judge)
    calm = Drawn(speeds=SPEEDS)
    run(calm, TWO)
    wanted = (tmp_path / "x" / "plan.json").read_text()
    (tmp_path / "x").rename(tmp_path / "calm")
    killed = Drawn(speeds=SPEEDS, before=kill)
    with pytest.raises(Killed):
        run(killed, TWO)
    second = Drawn(speeds=SPEEDS)
    run(second, TWO)
    assert killed.ran + second.ran == calm.ran
    assert (tmp_path / "x" / "plan.json").read_text() == wanted
    assert json.loads((tmp_path / "x" / "looks.json").read_text()) == json.loads(
        (tmp_path / "calm" / "looks.json").read_text()
    )


def test_a_kill_between_the_look_and_the_next_round_takes_the_look_once(run, judged, tmp_path, monkeypatch):
    monkeypatch.setattr(auto_rounds, "add_rounds", lambda *_: (_ for _ in ()).throw(ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        run(Drawn(speeds=SPEEDS))
    monkeypatch.undo()
    assert {tuple(n) for n in json.loads((tmp_path / "x" / "looks.json").read_text()).values()} == {(2,)}


def test_a_finished_experiment_is_not_asked_again(run, tmp_path, monkeypatch):
    run(Drawn(speeds=SPEEDS))
    monkeypatch.setattr(auto_rounds, "ask", lambda *_, **__: pytest.fail("asked again"))
    again = Drawn(speeds=SPEEDS)
    run(again)
    assert again.ran == []


def test_the_plan_lists_its_cells_in_the_order_in_which_they_ran(run, tmp_path):
    launcher = Drawn(speeds=SPEEDS)
    run(launcher, TEXT.replace("[64]", "[64, 128]"))
    planned = json.loads((tmp_path / "x" / "plan.json").read_text())["cells"]
    assert [f"{c['precision']}/{c['batch_size']}/{c['seed']}/{c['round']}" for c in planned] == launcher.ran
    assert [row["order"] for row in rows(tmp_path)] == [*range(1, len(launcher.ran) + 1)]


def test_a_recipe_that_is_added_later_gets_the_rounds_that_it_needs(run, tmp_path):
    run(Drawn(speeds=SPEEDS), TEXT.replace('"tf32", ', ""))
    assert set(rounds_of(tmp_path).values()) == {2}
    launcher = Drawn(speeds=SPEEDS)
    run(launcher)
    assert rounds_of(tmp_path)["tf32"] == rounds_of(tmp_path)["fp32"] > 2
    assert not [one for one in launcher.ran if one.startswith("bf16")]


def test_rounds_that_are_lost_from_the_folder_are_decided_again(run, tmp_path):
    first = Drawn(speeds=SPEEDS)
    run(first)
    (tmp_path / "x" / "rounds.json").write_text("{")
    second = Drawn(speeds=SPEEDS)
    run(second)
    assert second.ran == []
    assert len(rows(tmp_path)) == len(first.ran)


def test_without_a_reference_nothing_goes_on(run, judged, tmp_path):
    said = run(
        Drawn(speeds=SPEEDS, ends=lambda run: "crashed" if run.cell.precision.name in ("fp32", "tf32") else "ok")
    )
    assert set(rounds_of(tmp_path).values()) == {2}
    assert "no run of fp32 or tf32 ended well, so no round would decide anything" in said


def test_a_recipe_that_runs_out_of_memory_or_crashes_goes_no_further(run, judged, tmp_path):
    ends = {"bf16": "oom", "tf32": "crashed"}
    run(Drawn(speeds=SPEEDS, ends=lambda run: ends.get(run.cell.precision.name, "ok") if run.cell.round else "ok"))
    assert rounds_of(tmp_path)["tf32"] == rounds_of(tmp_path)["bf16"] == 2


def test_one_recipe_alone_has_two_rounds(run, judged, tmp_path):
    said = run(Drawn(speeds=SPEEDS), TEXT.replace('"fp32", "tf32", "bf16", "bf16_amp"', '"fp32"'))
    assert rounds_of(tmp_path) == {"fp32": 2}
    assert "After 2 rounds: no other recipe ran to its end" in said


def test_trainings_have_no_rounds(run, tmp_path):
    run(Drawn(speeds=SPEEDS), TEXT.replace("epochs = 0", "epochs = 1"))
    assert set(rounds_of(tmp_path).values()) == {1}


def test_each_seed_has_as_many_rounds(run, tmp_path):
    run(Drawn(speeds=SPEEDS, spread=0.03), TEXT.replace("[matrix]", "[matrix]\nseed = [0, 1]"))
    num = Counter((row["precision"], row["seed"]) for row in rows(tmp_path))
    assert num["tf32", 0] == num["tf32", 1] == num["fp32", 0] > 2


def test_only_groups_that_are_open_go_on(run, tmp_path):
    speeds = {"fp32": 1.0, "tf32": 1.01}
    text = TWO.replace("[64]", "[64, 128]") + (
        '\n[[exclude]]\nbatch_size = 128\nprecision = "tf32"\nbecause = "known"\n'
    )
    run(Drawn(speeds=speeds, spread=0.03), text)
    num = Counter((row["precision"], row["batch_size"]) for row in rows(tmp_path) if row["status"] == "ok")
    assert num["tf32", 64] == num["fp32", 64] > 2
    assert num["tf32", 128] == 0


def test_shards_come_to_one_plan(run, tmp_path):
    text = TEXT.replace("[64]", "[64, 128]")
    ran = []
    for i in (0, 1, 0, 1):
        launcher = Drawn(speeds=SPEEDS)
        run(launcher, text, shard=(i, 2))
        ran += launcher.ran
    assert len(ran) == len(set(ran)) == len(rows(tmp_path))
    assert rounds_of(tmp_path)["tf32"] > 4


def test_a_part_without_its_reference_stops_and_says_so(run, tmp_path):
    run(Drawn(speeds=SPEEDS), only=("precision=fp32",))
    said = run(Drawn(speeds=SPEEDS), only=("precision=tf32",))
    assert "What is open is not among the cells chosen here; run them all to go on" in said
    assert rounds_of(tmp_path) == {"fp32": 2, "tf32": 2}
    run(Drawn(speeds=SPEEDS))
    assert rounds_of(tmp_path)["tf32"] > 2


def test_a_round_cannot_be_chosen_by_hand(run):
    with pytest.raises(RequestError, match=r"--only round=…: with rounds = \"adaptive\" the verdicts choose"):
        run(Drawn(speeds=SPEEDS), only=("round=0",))


def test_the_hours_are_those_of_all_rounds_together(run, tmp_path):
    given = []

    class Counted(Drawn):
        def run(self, groups, boards, *, board_hours, **rest):
            given.append(board_hours)
            return super().run(groups, boards, board_hours=board_hours, **rest)

    run(Counted(speeds=SPEEDS, cell_s=36.0), TEXT + "[budget]\ngpu_hours = 1\n")
    assert given[0] == 1
    assert given[1] == pytest.approx(1 - 8 * 0.01)


def test_hours_that_are_used_up_end_the_rounds(run, tmp_path):
    class Short(Drawn):
        def run(self, groups, boards, **rest):
            super().run(groups[:1] if len(self.ran) < 8 else [], boards, **rest)
            return len(self.ran) < 8 or not groups

    said = run(Short(speeds=SPEEDS), TEXT + "[budget]\ngpu_hours = 1\n")
    assert "gpu_hours = 1 are used up" in said
    assert said.count("REPORT") == 1
    assert said.count("After") == 1


def test_what_is_run_again_is_run_once(run, tmp_path):
    ends = lambda run: "crashed" if run.cell.precision.name == "bf16" else "ok"  # noqa: E731
    run(Drawn(speeds=SPEEDS, ends=ends))
    launcher = Drawn(speeds=SPEEDS, ends=ends)
    run(launcher, again=("crashed",))
    assert Counter(launcher.ran).most_common(1)[0][1] == 1
    assert {one.split("/")[0] for one in launcher.ran} == {"bf16"}


def test_a_fixed_number_of_rounds_asks_nobody(run, tmp_path, monkeypatch):
    monkeypatch.setattr(auto_rounds, "ask", lambda *_, **__: pytest.fail("asked"))
    run(Drawn(speeds=SPEEDS), TEXT.replace('"adaptive"', "3"))
    assert set(rounds_of(tmp_path).values()) == {3}
