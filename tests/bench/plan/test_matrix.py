from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from ampbench.bench.plan import cell as cell_module
from ampbench.bench.plan import matrix, refusals, seeds_needed
from ampbench.bench.plan.dry_run import outline
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import Plan, make_plan, narrow
from ampbench.bench.plan.rounds import timing_id, with_rounds

FIXED = '[fixed]\nmodel = "LeNet"\ndata = "digits"\n'
MATRIX = '[matrix]\nseed = [0, 1, 2]\nbatch_size = [32, 64]\nprecision = ["fp32", "bf16", "bf16_amp"]\n'


def plan_of(text: str) -> Plan:
    return make_plan(parse_experiment(Path("trial.toml"), 'question = "Q?"\n' + text))


def test_a_cell_is_fixed_plus_one_value_of_every_axis() -> None:
    plan = plan_of(MATRIX + FIXED)
    assert len(plan.cells) == len({c.cell_id for c in plan.cells}) == 18


def test_the_first_axis_varies_slowest_and_groups_are_contiguous() -> None:
    cells = plan_of(MATRIX + FIXED).cells
    assert [c.seed for c in cells] == [0] * 6 + [1] * 6 + [2] * 6
    changes = sum(a.group_id != b.group_id for a, b in itertools.pairwise(cells))
    assert changes == len({c.group_id for c in cells}) - 1


def test_recipes_rotate_by_seed_so_that_none_is_always_first() -> None:
    plan = plan_of(MATRIX + FIXED)
    assert {group[0].precision.name for group in plan.groups} == {"fp32", "bf16", "bf16_amp"}


def test_rounds_repeat_timings_in_rotated_order_and_leave_trainings_alone() -> None:
    timing = plan_of(MATRIX + FIXED + "[measure]\nrounds = 2")
    group = timing.groups[0]
    assert [c.round for c in group] == [0, 0, 0, 1, 1, 1]
    assert [c.precision.name for c in group[:3]] != [c.precision.name for c in group[3:]]
    assert len(plan_of(MATRIX + FIXED + "epochs = 1\n[measure]\nrounds = 2").cells) == 18


def test_excluded_cells_keep_their_reason_and_a_list_means_any() -> None:
    text = MATRIX + FIXED + '[[exclude]]\nprecision = "bf16"\nseed = [0, 1]\nbecause = "too slow"'
    plan = plan_of(text)
    assert len(plan.excluded) == 4
    assert {(c.precision.name, c.seed in (0, 1), why) for c, why in plan.excluded} == {("bf16", True, "too slow")}
    assert len(plan.cells) == 14


def test_an_illegal_combination_may_be_excluded() -> None:
    text = '[matrix]\nprecision = ["fp32", "fp16_amp"]\nloss_scale = ["none", "dynamic"]\n' + FIXED + "batch_size = 1\n"
    with pytest.raises(RequestError, match="nothing to scale"):
        plan_of(text)
    plan = plan_of(text + '[[exclude]]\nprecision = "fp32"\nloss_scale = "dynamic"\nbecause = "nothing to scale"')
    assert len(plan.cells) == 3


def test_include_adds_cells_and_changes_none() -> None:
    before = plan_of(MATRIX + FIXED).cells
    after = plan_of(MATRIX + FIXED + '[[include]]\nbatch_size = 512\nprecision = "fp16_amp"').cells
    assert {c.cell_id for c in before} < {c.cell_id for c in after}
    assert len(after) == 19


def test_widening_an_axis_keeps_the_ids_of_the_cells_that_were_there() -> None:
    narrow_ids = {c.cell_id for c in plan_of(MATRIX + FIXED).cells}
    wide_ids = {c.cell_id for c in plan_of(MATRIX.replace("64]", "64, 128]") + FIXED).cells}
    assert narrow_ids < wide_ids


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_shards_cover_every_cell_once_and_never_split_a_group(count: int) -> None:
    plan = plan_of(MATRIX + FIXED)
    shards = [narrow(plan, shard=(i, count)) for i in range(count)]
    assert sorted(c.cell_id for shard in shards for c in shard) == sorted(c.cell_id for c in plan.cells)
    groups = [{c.group_id for c in shard} for shard in shards]
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_only_narrows_by_value_and_refuses_what_matches_nothing() -> None:
    plan = plan_of(MATRIX + FIXED)
    assert len(narrow(plan, only=["precision=fp32,bf16", "seed=1"])) == 4
    for condition, said in (("seed", "key=value"), ("sede=1", "Did you mean 'seed'"), ("seed=7", "takes 0, 1, 2")):
        with pytest.raises(RequestError, match=said):
            narrow(plan, only=[condition])
    fewer = plan_of(MATRIX + FIXED + '[[exclude]]\nprecision = "bf16"\nseed = 1\nbecause = "known to fail"')
    with pytest.raises(RequestError, match=r"^--only precision=bf16 --only seed=1: no cell has all of this; drop one"):
        narrow(fewer, only=["precision=bf16", "seed=1"])
    assert narrow(plan, only=["seed=0"], shard=(99, 100)) == ()  # another shell has them


def test_the_outline_shows_cells_groups_order_reasons_and_what_is_done() -> None:
    plan = plan_of(MATRIX + FIXED + '[[exclude]]\nprecision = "bf16"\nseed = 0\nbecause = "known to fail"')
    first = plan.cells[0]
    text = "\n".join(outline(plan, plan.cells, done={first.cell_id}, cell_s={first.cell_id: 60.0}))
    assert "16 cells in 6 groups" in text
    assert "batch_size=32 seed=0:  fp32+ bf16_amp" in text
    assert text.count("known to fail") == 2
    assert "To run: 15 cells, about 15 min 00 s on one board, judged by 1 finished cell" in text


def test_the_outline_says_where_a_last_batch_is_one_image() -> None:
    last = FIXED.replace("epochs", "drop_last = false\nepochs") if "epochs" in FIXED else FIXED + "drop_last = false\n"
    plan = plan_of('[matrix]\nprecision = ["fp32", "bf16"]\n' + last + "batch_size = 359")
    known = plan.cells[0].data == "digits"
    text = "\n".join(outline(plan, plan.cells, done=(), cell_s={}))
    assert known
    assert text.count("(batch_size = 359: drop_last = false leaves a last batch of one image out of 1,437") == 1


def test_the_outline_says_what_cells_on_several_gpus_want() -> None:
    plan = plan_of(MATRIX + FIXED + "gpus = 4")
    text = "\n".join(outline(plan, plan.cells, done=(), cell_s={}))
    assert "(gpus = 4: on so many GPUs of one model, or processes on one CPU; batch_size is of each)" in text
    assert "bf16_amp" in text
    assert str(plan.cells[0]).startswith(f"{plan.cells[0].model} {plan.cells[0].precision} b32x4 s0")


def test_the_outline_says_what_the_seeds_can_settle_and_what_memory_is_predicted() -> None:
    plan = plan_of(MATRIX + FIXED + "epochs = 1")
    ids = [cell.cell_id for cell in plan.cells]
    predicted = dict.fromkeys(ids, 3 * 2**20) | {ids[1]: "cannot be run on shapes"}
    text = "\n".join(outline(plan, plan.cells, done=(), cell_s={}, predicted=predicted))
    assert "Accuracy: 3 seeds; two recipes that train equally well come out equivalent" in text
    assert "with a chance of 2%; 11 seeds make it 80%" in text
    assert "fp32 (3 MiB)" in text
    assert text.count("(? MiB)") == 1
    assert "(? MiB: cannot be run on shapes)" in text
    plan = plan_of('[matrix]\nprecision = ["fp32", "bf16"]\n' + FIXED + "batch_size = 8")
    text = "\n".join(outline(plan, plan.cells, done=(), cell_s={}))
    assert "nothing can be told; set [measure] rounds = 3" in text


def test_the_table_of_power_is_the_verdict_s_own() -> None:
    import numpy as np

    from ampbench.schema.margins import MARGIN_POINTS, RUN_SD_POINTS
    from ampbench.visualize.stats.sample_size import tost_power
    from ampbench.visualize.stats.simulate import equivalent

    assert (seeds_needed.MARGIN_POINTS, seeds_needed.RUN_SD_POINTS) == (MARGIN_POINTS, RUN_SD_POINTS)
    for n, percent in enumerate(seeds_needed.EQUIVALENCE_PERCENT[1], 1):
        assert 100 * tost_power(n, RUN_SD_POINTS * math.sqrt(2)) == pytest.approx(percent, abs=1)
    for size, percents in seeds_needed.EQUIVALENCE_PERCENT.items():
        for n in (3, 7, 10, 14):
            found = equivalent(size, n, 2_000, np.random.default_rng(n))
            assert 100 * found == pytest.approx(percents[n - 1], abs=4), (size, n)


def test_a_plan_of_many_comparisons_asks_for_more_seeds() -> None:
    few = plan_of('[matrix]\nseed = [0, 1, 2]\nprecision = ["fp32", "bf16"]\n' + FIXED + "batch_size = 8\nepochs = 2")
    many = plan_of(
        '[matrix]\nseed = [0, 1, 2]\nbatch_size = [8, 16]\nprecision = ["fp32", "bf16", "bf16_amp"]\n'
        + FIXED
        + "epochs = 2"
    )
    assert "with a chance of 15%; 10 seeds make it 85%" in seeds_needed.power_lines(few.cells)[0]
    assert "with a chance of 2%; 11 seeds make it 80%" in seeds_needed.power_lines(many.cells)[0]


def test_a_thousand_cells_are_planned_without_torch(experiment_file: Callable[..., Path]) -> None:
    import subprocess
    import sys

    from tests.conftest import ROOT

    seeds = list(range(112))
    path = experiment_file(
        f'question = "Q?"\n[matrix]\nseed = {seeds}\nprecision = ["fp32", "tf32", "fp16", "bf16", "fp16_scaled", '
        '"fp16_amp", "fp16_amp_scaled", "bf16_amp", "bf16_amp_scaled"]\n' + FIXED + "batch_size = 1"
    )
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['bench/run_matrix.py', {str(path)!r}, '--plan']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as e: assert e.code == 0, e.code\n"
        "heavy = {'torch', 'pandas', 'pyarrow', 'numpy', 'seaborn', 'wandb'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "1008 cells in 112 groups" in result.stdout


def test_a_plan_of_a_million_cells_is_refused_with_the_count_before_one_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(**_: object) -> None:
        raise AssertionError("a cell was made")

    monkeypatch.setattr(matrix, "Cell", never)
    axes = f"seed = {list(range(1000))}\nepochs = {list(range(1, 1001))}\n"
    with pytest.raises(RequestError, match=r"1,000,000 cells are more than the 100,000 .*; shorten an axis, or split"):
        plan_of('[matrix]\nprecision = ["fp32"]\n' + axes + FIXED + "batch_size = 1\n")


def test_rounds_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MOST_CELLS", 5)
    text = '[matrix]\nprecision = ["fp32", "bf16_amp"]\n' + FIXED + "batch_size = 1\n"
    assert len(plan_of(text).cells) == 2
    with pytest.raises(RequestError, match="6 cells are more than the 5"):
        plan_of(text + "[measure]\nrounds = 3\n")


def test_planning_takes_a_time_that_grows_with_the_cells_and_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in identities that are hashed, since a clock would say more of the machine."""
    counts, digest = [], cell_module._digest
    for num_seeds in (20, 40):
        hashed: list[object] = []
        monkeypatch.setattr(
            cell_module, "_digest", lambda identity, hashed=hashed: hashed.append(1) or digest(identity)
        )
        include = "".join(f'[[include]]\nprecision = "fp32"\nseed = {1000 + i}\n' for i in range(num_seeds))
        text = f'[matrix]\nprecision = ["fp32", "bf16_amp"]\nseed = {list(range(num_seeds))}\n'
        plan = plan_of(text + FIXED + "batch_size = 1\n" + include)
        list(outline(plan, plan.cells, done=(), cell_s={}))
        counts.append(len(hashed))
    assert counts[1] <= 2.1 * counts[0], counts


def test_the_plan_says_what_a_start_takes_and_that_one_seed_tells_nothing() -> None:
    def said(text: str) -> str:
        plan = plan_of(text)
        return "\n".join(line for line in outline(plan, plan.cells, done=(), cell_s={}) if line.startswith("Start:"))

    timing = MATRIX + FIXED + "[measure]\nstart_steps = 400\nrounds = 2"
    assert said(timing) == "Start: the first 400 steps, to which a shorter timing goes on, off the clock; 3 seeds"
    assert said(timing.replace("[fixed]", "[fixed]\nepochs = 2")) == "Start: the first 400 steps; 3 seeds"
    assert said(timing.replace("[0, 1, 2]", "[0]")).endswith(
        "; 1 seed has no spread, so nothing can be told: take 2 to 4"
    )
    assert not said(MATRIX + FIXED)


def test_adaptive_rounds_begin_with_two_and_say_how_many_there_may_be() -> None:
    plan = plan_of(MATRIX + FIXED + 'epochs = 0\n[measure]\nrounds = "adaptive"')
    assert {cell.round for cell in plan.cells} == {0, 1}
    text = "\n".join(outline(plan, plan.cells, done=(), cell_s={}))
    assert f"Rounds: 2 to 12 rounds, adaptive: {len(plan.cells)} timings so far, at most {6 * len(plan.cells)}" in text


def test_further_rounds_stand_behind_those_that_ran_before_them() -> None:
    plan = plan_of(MATRIX + FIXED + 'epochs = 0\n[measure]\nrounds = "adaptive"')
    one, other = [cell for cell in plan.cells if not cell.round][:2]
    more = with_rounds(plan, {one.cell_id: 4, other.cell_id: 3, "of another plan": 12})
    assert more.cells[: len(plan.cells)] == plan.cells
    added = [(cell.round, timing_id(cell)) for cell in more.cells[len(plan.cells) :]]
    assert sorted(added[:2]) == sorted([(2, one.cell_id), (2, other.cell_id)])
    assert added[2:] == [(3, one.cell_id)]
    assert with_rounds(plan, {}).cells == plan.cells
