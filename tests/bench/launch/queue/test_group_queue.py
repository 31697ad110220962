"""Groups on 1 to 64 boards, played on a virtual clock: each cell once, nothing split, and soon at the end."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from ampbench.bench.launch.queue.group_queue import GroupQueue
from ampbench.bench.launch.queue.places import Team
from ampbench.bench.launch.queue.turns import in_turn, makespan_s
from ampbench.bench.machine.board import Board
from ampbench.bench.store.run import Run
from tests.support.virtual_boards import Played, Spell, gpus_of, groups_of_sizes, play

WITHIN = 1.10
"""Of the best that is known: what the order of the plan, and not knowing better, may cost."""

MANY = (1, 2, 3, 4, 7, 8, 16, 31, 64)


def drawn(seed: int, num_groups: int) -> tuple[list[list[Run]], dict[int, float]]:
    """Return groups of 1 to 9 cells, and order -> seconds: of the same kind, of two kinds, or spread over decades."""
    rng = random.Random(seed)
    groups = groups_of_sizes(rng.randint(1, 9) for _ in range(num_groups))
    scales = [[60.0], [30.0, 900.0], [10 ** rng.uniform(0, 4) for _ in range(num_groups)]][seed % 3]
    return groups, {run.order: rng.choice(scales) * rng.uniform(0.9, 1.1) for group in groups for run in group}


def bound_s(groups: Iterable[Sequence[Run]], seconds: dict[int, float], num_boards: int) -> float:
    """Return the longer of what longest-processing-time-first takes, and what no order can beat."""
    work = sorted((sum(seconds[run.order] for run in group) for group in groups), reverse=True)
    return max(makespan_s([(each, 1) for each in work], num_boards), sum(work) / num_boards, work[0])


def taken(queue: GroupQueue) -> tuple[Team, deque[Run]]:
    """Return what begins, where something must."""
    begun = queue.take()
    assert begun is not None
    return begun


def assert_lawful(played: Played, groups: Sequence[Sequence[Run]]) -> None:
    """Every cell once, never two on a board at a time, each group on one team and in its order."""
    assert Counter(spell.run.order for spell in played.whole) == Counter(run.order for group in groups for run in group)
    by_board: dict[Board, list[Spell]] = defaultdict(list)
    for spell in played.spells:
        for board in spell.team:
            by_board[board].append(spell)
    for spells in by_board.values():
        spells.sort(key=lambda spell: (spell.begin_s, spell.end_s))
        assert all(a.end_s <= b.begin_s for a, b in itertools.pairwise(spells))
    by_group: dict[str, list[Spell]] = defaultdict(list)
    for spell in played.whole:
        by_group[spell.run.cell.group_id].append(spell)
    for spells in by_group.values():
        assert len({spell.team for spell in spells}) == 1
        assert len({(board.host, board.name) for board in spells[0].team}) == 1
        orders = [spell.run.order for spell in sorted(spells, key=lambda spell: spell.begin_s)]
        assert orders == sorted(orders)


@pytest.mark.parametrize("num_boards", MANY)
@pytest.mark.parametrize("seed", range(6))
def test_every_cell_once_no_group_split_and_the_end_near_the_best_order_known(num_boards: int, seed: int) -> None:
    groups, seconds = drawn(seed, num_groups=random.Random(seed).choice([num_boards + 1, 3 * num_boards, 150]))
    queue = GroupQueue(groups, gpus_of(num_boards), expected_s=lambda run: seconds[run.order])
    played = play(queue, lambda run: seconds[run.order])
    assert_lawful(played, groups)
    assert len({board for spell in played.spells for board in spell.team}) == min(num_boards, len(groups))
    assert played.end_s <= WITHIN * bound_s(groups, seconds, num_boards)
    assert queue.num_waiting == 0
    assert not queue.stranded


def test_one_board_keeps_the_plans_order_whatever_is_expected() -> None:
    groups, seconds = drawn(2, 40)
    played = play(GroupQueue(groups, gpus_of(1), expected_s=lambda run: seconds[run.order]), lambda run: 1.0)
    assert [spell.run.order for spell in played.spells] == list(range(1, 1 + sum(map(len, groups))))


def test_several_boards_keep_the_plans_order_as_long_as_it_costs_no_time() -> None:
    seconds = [10.0] * 80 + [100.0]
    order = in_turn([(each, 1) for each in seconds], 4)
    place = order.index(80)
    assert order == [*sorted(order[:place]), 80, *sorted(order[place + 1 :])], "only the long one is moved"
    assert place >= 20, "and no further than it has to be"
    assert makespan_s([(seconds[i], 1) for i in order], 4) <= 1.02 * 230
    assert in_turn([(10.0, 1)] * 81, 4) == list(range(81))


def test_durations_that_are_learned_while_it_runs_bring_the_long_ones_forward() -> None:
    """Nothing is known at first; as soon as one long group has ended, the others like it are known to be long."""
    groups = groups_of_sizes([1] * 64)
    seconds = {run.order: 500.0 if run.order in (3, 61, 62, 63, 64) else 10.0 for group in groups for run in group}
    known: dict[float, float] = {}
    queue = GroupQueue(groups, gpus_of(2), expected_s=lambda run: known.get(seconds[run.order]))
    played = play(queue, lambda run: seconds[run.order], ended=lambda run, took_s: known.update({took_s: took_s}))
    assert_lawful(played, groups)
    assert played.end_s <= WITHIN * bound_s(groups, seconds, 2)


@pytest.mark.parametrize("seed", range(8))
def test_a_team_lies_within_one_machine_and_one_kind_and_never_starves(seed: int) -> None:
    rng = random.Random(seed)
    boards = [
        *gpus_of(8, host="a"), *gpus_of(4, host="b", name="A100"), *gpus_of(2, host="b"), *gpus_of(1, host="c"),
    ]  # fmt: skip
    groups = groups_of_sizes((rng.randint(1, 4) for _ in range(60)), gpus=[1, 1, 2, 8, 1, 4, 3])
    seconds = {run.order: rng.uniform(1, 100) for group in groups for run in group}
    queue = GroupQueue(groups, boards, kind_of=lambda board: str(board.name))
    played = play(queue, lambda run: seconds[run.order])
    assert_lawful(played, groups)
    assert all(len(spell.team) == spell.run.cell.gpus for spell in played.spells)
    work = sum(seconds[spell.run.order] * len(spell.team) for spell in played.spells)
    wide = sum(seconds[run.order] for group in groups for run in group if run.cell.gpus == 8)
    assert played.end_s <= 2 * max(work / len(boards), wide), "little stands idle"


def test_a_team_that_waits_has_boards_kept_for_it_and_the_others_go_on_where_that_delays_nothing() -> None:
    [wide, *narrow] = groups_of_sizes([1] * 12, gpus=[4, *[1] * 11])
    queue = GroupQueue([wide, *narrow], gpus_of(6))
    four, _ = taken(queue)
    one, other = taken(queue)[0], taken(queue)[0]
    assert (len(four), len(one), len(other)) == (4, 1, 1)
    queue.lose(four[:1])  # 5 boards are left, and the team needs one of those that are at work
    queue.release(four, wide)
    assert queue.take() is None, "three are free, and kept"
    queue.release(one)
    team, runs = taken(queue)
    assert (len(team), list(runs)) == (4, wide)
    queue.release(other)
    assert queue.take() is not None, "nothing waits for it"


def test_a_team_waits_for_the_oldest_and_what_begins_meanwhile_leaves_it_enough() -> None:
    groups = groups_of_sizes([1] * 12, gpus=[4, 4, *[1] * 10])
    queue = GroupQueue(groups, gpus_of(6))
    begun = [queue.take() for _ in range(4)]
    sizes = [len(team) for team, _ in (one for one in begun if one)]
    assert sizes == [4, 1, 1], "the second one waits for the first, and two boards are spare"


def test_more_gpus_than_any_machine_has_take_one_board_to_record_it() -> None:
    [group] = groups_of_sizes([1], gpus=[8])
    queue = GroupQueue([group], [*gpus_of(4, host="a"), *gpus_of(4, host="b")])
    team, _ = taken(queue)
    assert len(team) == 1
    assert queue.most_gpus(team[0]) == 4
    cpu = GroupQueue([group], [Board(board_id="cpu")])
    assert taken(cpu)[0] == (Board(board_id="cpu"),), "ranks on a CPU share it"


def test_a_group_with_rows_of_a_kind_goes_on_with_it_and_begins_first() -> None:
    boards = [*gpus_of(2, host="a"), *gpus_of(1, host="b", name="A100")]
    groups = groups_of_sizes([2] * 9)
    bound = {group[0].cell.group_id: "A100" for group in groups[6:]}
    queue = GroupQueue(groups, boards, kind_of=lambda board: str(board.name), bound=bound)
    played = play(queue, lambda run: 1.0)
    assert_lawful(played, groups)
    assert {spell.team[0].name for spell in played.spells if spell.run.cell.seed >= 6} == {"A100"}
    assert played.end_s == 6.0, "no board waits for what another one may take"


def test_a_group_whose_kind_is_gone_is_stranded_and_the_others_run() -> None:
    groups = groups_of_sizes([1] * 4)
    bound = {groups[1][0].cell.group_id: "A100"}
    queue = GroupQueue(groups, gpus_of(2), kind_of=lambda board: str(board.name), bound=bound)
    played = play(queue, lambda run: 1.0)
    assert len(played.whole) == 3
    assert [list(group) for group in queue.stranded] == [groups[1]]


@pytest.mark.parametrize("seed", range(8))
def test_what_was_at_work_on_a_lost_machine_runs_again_elsewhere_and_counts_once(seed: int) -> None:
    rng = random.Random(seed)
    hosts = {name: gpus_of(4, host=name) for name in "abcd"}
    groups = groups_of_sizes((rng.randint(1, 6) for _ in range(50)), gpus=[1, 1, 2])
    lost = [(rng.uniform(1, 40), hosts[name]) for name in "abc"]
    queue = GroupQueue(groups, [board for boards in hosts.values() for board in boards])
    played = play(queue, lambda run: 1.0 + run.order % 7, lost=lost)
    assert Counter(spell.run.order for spell in played.whole) == Counter(run.order for group in groups for run in group)
    for when_s, boards in lost:
        assert all(spell.end_s <= when_s for spell in played.spells if set(spell.team) & set(boards))
    assert any(not spell.is_whole for spell in played.spells)
    assert queue.num_waiting == 0


def test_a_begun_group_of_a_lost_kind_waits_for_it_and_one_without_a_row_goes_elsewhere() -> None:
    old, new = gpus_of(2, host="a", name="A100"), gpus_of(1, host="b")
    groups = groups_of_sizes([2, 2, 1])
    queue = GroupQueue(groups, [*old, *new], kind_of=lambda board: str(board.name))
    begun = {team[0].host + str(i): (team, runs) for i, (team, runs) in enumerate(taken(queue) for _ in range(3))}
    (first, runs), (second, untouched) = (begun[key] for key in begun if key[0] == "a")
    runs.popleft()
    queue.lose(old)
    queue.release(first, runs)
    queue.release(second, untouched)
    assert [len(group) for group in queue.stranded] == [1]
    assert queue.take() is None
    queue.release((new[0],))
    team, again = taken(queue)
    assert (team, again) == ((new[0],), untouched)


def test_once_the_hours_are_used_up_no_cell_begins() -> None:
    groups = groups_of_sizes([3] * 20)
    played = play(GroupQueue(groups, gpus_of(4)), lambda run: 3600.0, hours=10)
    assert 10 <= sum(spell.end_s - spell.begin_s for spell in played.spells) / 3600 <= 10 + 4


@pytest.mark.parametrize("expected_s", [5.0, None])
def test_a_run_says_what_to_expect_and_where_none_does_all_cells_take_the_same(expected_s: float | None) -> None:
    groups = [[replace(run, expected_s=expected_s) for run in group] for group in groups_of_sizes([1] * 8 + [9])]
    assert play(GroupQueue(groups, gpus_of(2)), lambda _: 1.0).end_s == 9, "the long one in time, at the plan's end"


def test_what_a_queue_is_told_of_runs_corrects_what_they_said() -> None:
    groups = [[replace(run, expected_s=10.0) for run in group] for group in groups_of_sizes([1] * 41)]
    long = {run.order for group in groups[-3:] for run in group}
    groups = [[replace(run, cell=replace(run.cell, epochs=1 + (run.order in long))) for run in g] for g in groups]
    queue = GroupQueue(groups, gpus_of(2))
    queue.learn(groups[-1][0], 200.0)
    queue.learn(groups[-1][0], 200.0)
    played = play(queue, lambda run: 200.0 if run.order in long else 10.0, ended=queue.learn)
    assert played.end_s <= WITHIN * 490, "in the plan's order 590"
