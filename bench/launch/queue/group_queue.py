"""Which group begins on which boards: groups in turn, teams within one machine and one kind of board, nothing split.

It starts no process and reads no clock, so a launcher of any engine can ask it, and a test can play years through it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ampbench.bench.launch.queue.places import Group, Team, places_of
from ampbench.bench.launch.queue.turns import in_turn
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell_times import CellTimes
from ampbench.bench.store.run import Run

CHANGED_SHARE = 0.1
"""Turns are thought over again when the expected time of a group has changed by more than this."""

ASKED_AGAIN = 8
"""Expected times are asked for again when a part of the waiting groups, one in so many, has ended since."""


Bucket = tuple[bool, int, str | None]
"""Groups that may begin on the same boards: whether they were given back, how many boards they want, and which kind."""


class GroupQueue:
    """Groups that wait, boards that are free or at work."""

    def __init__(
        self,
        groups: Iterable[Sequence[Run]],
        boards: Sequence[Board],
        *,
        kind_of: Callable[[Board], str] = lambda _: "",
        bound: Mapping[str, str] | None = None,
        expected_s: Callable[[Run], float | None] | None = None,
    ) -> None:
        """Let all groups wait in the plan's order.

        Args:
            groups: runs that are compared with one another, which run on the same boards.
            boards: to run on.
            kind_of: boards whose numbers may be compared have the same.
            bound: group id -> kind, of groups that have rows of that kind already.
            expected_s: seconds that a run will take, None if that is not known; asked again as groups end. By default
                what `Run.expected_s` says, and then what `learn` is told.
        """
        self._times = CellTimes()
        self._expected_s = expected_s or (lambda run: self._times.expected_s(run.cell))
        self._index = {board: i for i, board in enumerate(boards)}
        self._place_of = places_of(boards, kind_of)
        self._places = [*{id(place): place for place in self._place_of.values()}.values()]
        self._kinds = {place.kind for place in self._places}
        self._most_gpus = {kind: self._widest(kind) for kind in (None, *self._kinds)}
        self._buckets: dict[Bucket, deque[Group]] = defaultdict(deque)
        self._num_ended = 0
        self._num_returned = 0
        for planned, group in enumerate(groups):
            self._wait(deque(group), (bound or {}).get(group[0].cell.group_id), planned, is_returned=False)
            for run in group:
                if run.expected_s is not None:
                    self._times.suppose(run.cell, run.expected_s)
        self._give_turns(self._ask())

    @property
    def num_waiting(self) -> int:
        """Number of groups that have not begun, or were given back."""
        return sum(map(len, self._buckets.values()))

    @property
    def stranded(self) -> list[Sequence[Run]]:
        """Groups that none of the boards that are left may take."""
        return [
            group.runs
            for bucket in self._buckets.values()
            for group in bucket
            if not any(place.fits(group) for place in self._places)
        ]

    def most_gpus(self, board: Board) -> int:
        """Return how many GPUs of its kind one machine had together at most: cells that want more cannot run."""
        return self._most_gpus[self._place_of[board].kind]

    def take(self) -> tuple[Team, deque[Run]] | None:
        """Let a group begin; return its boards and its runs, or None if none can begin now.

        A group that wants more boards than are free has those kept free that it would otherwise wait for again. The
        others go on where they do not delay it.
        """
        self._think_again()
        usable = {id(place): len(place.free) for place in self._places if place.free}
        if not usable:
            return None
        tops = {key: bucket[0] for key, bucket in self._buckets.items() if bucket}
        are_wide = any(gpus > 1 for _, gpus, _ in tops)
        held: set[int] = set()
        for key in sorted(tops, key=lambda key: (not key[0], key[2] is None, tops[key].turn)):
            group = tops[key]
            fitting = [place for place in self._places if place.fits(group)]
            open_ = [place for place in fitting if usable.get(id(place), 0) >= place.size(group)]
            if open_:
                # Wide teams need machines that are free as a whole; without any, neighbours disturb one another less.
                place = min(open_, key=lambda place: len(place.free) if are_wide else -len(place.free))
                self._buckets[key].popleft()
                return place.begin(group), group.runs
            awaited = [place for place in fitting if id(place) not in held and place.size(group) > 1]
            if awaited:
                place = min(awaited, key=lambda place: place.size(group) - len(place.free))
                held.add(id(place))
                usable[id(place)] = min(usable.get(id(place), 0), place.surplus(group))
        return None

    def release(self, team: Team, rest: Sequence[Run] = ()) -> None:
        """Free the boards of a team.

        Args:
            team: as `take` returned it.
            rest: the runs of its group that were lost, first in turn again. They stay with the kind of their board,
                unless they are the whole group, of which there is no row then.
        """
        place = self._place_of[team[0]]
        group = place.teams.pop(team)
        place.free += [board for board in team if board in self._index]
        place.free.sort(key=self._index.__getitem__)
        self._num_ended += 1
        if rest:
            is_begun = len(rest) < group.num_begun
            self._num_returned += 1
            kind = place.kind if is_begun else group.bound
            self._wait(deque(rest), kind, self._num_returned, is_returned=True)

    def learn(self, run: Run, seconds: float) -> None:
        """Take in how long a run took, by which those that wait are judged."""
        self._times.learn(run.cell, seconds)

    def lose(self, boards: Iterable[Board]) -> None:
        """Use boards no longer; the groups at work on them come back by `release`."""
        for board in boards:
            if self._index.pop(board, None) is not None:
                place = self._place_of[board]
                place.num_boards -= 1
                if board in place.free:
                    place.free.remove(board)
        self._give_turns(self._ask())

    def _wait(self, runs: deque[Run], kind: str | None, planned: int, *, is_returned: bool) -> None:
        bound = None if {kind} == self._kinds else kind
        gpus = runs[0].cell.gpus
        group = Group(runs, gpus if gpus <= self._most_gpus.get(bound, 0) else 1, bound, planned, turn=planned)
        self._buckets[is_returned, group.gpus, bound].append(group)

    def _widest(self, kind: str | None) -> int:
        """Where no machine has so many GPUs as a cell wants, one board is enough to record that."""
        return max((p.num_boards for p in self._places if p.is_gpu and kind in (None, p.kind)), default=1)

    def _waiting(self) -> Iterator[Group]:
        """Yield the groups that were not given back, in the plan's order."""
        found = [group for key, bucket in self._buckets.items() if not key[0] for group in bucket]
        return iter(sorted(found, key=lambda group: group.planned))

    def _ask(self) -> list[float]:
        """Return how long each waiting group will take; a run of which that is not known, as long as the others."""
        asked = [[self._expected_s(run) for run in group.runs] for group in self._waiting()]
        known = [seconds for group in asked for seconds in group if seconds is not None]
        mean_s = sum(known) / len(known) if known else 1.0
        return [sum(mean_s if seconds is None else seconds for seconds in group) for group in asked]

    def _think_again(self) -> None:
        """Give turns anew where what has ended since shows other durations."""
        if not self._num_ended or self._num_ended * ASKED_AGAIN < self.num_waiting:
            return
        self._num_ended = 0
        asked = self._ask()
        before = [group.seconds for group in self._waiting()]
        scale = sum(asked) / sum(before) if sum(before) else 1.0  # another unit changes no turn
        if any(abs(now - scale * old) > CHANGED_SHARE * scale * old for now, old in zip(asked, before, strict=True)):
            self._give_turns(asked)

    def _give_turns(self, expected_s: Sequence[float]) -> None:
        """Put the waiting groups in the order in which they are to begin."""
        groups = list(self._waiting())
        for group, seconds in zip(groups, expected_s, strict=True):
            group.seconds = seconds
        num_boards = max(1, len(self._index))
        jobs = [(group.seconds, min(group.gpus, num_boards)) for group in groups]
        for key in [key for key in self._buckets if not key[0]]:
            del self._buckets[key]
        for turn, i in enumerate(in_turn(jobs, num_boards)):
            groups[i].turn = turn
            self._buckets[False, groups[i].gpus, groups[i].bound].append(groups[i])
