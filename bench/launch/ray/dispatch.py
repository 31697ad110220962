"""The cells of a cluster: one queue of groups, a relay for each team of boards, and what is done when one is lost.

While nodes measure, this process blocks in Ray; it wakes up when one of them speaks, at most once a second each.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ampbench.bench.launch.cluster.assignment import Assignment, Said
from ampbench.bench.launch.cluster.run_files import keeping, write_files
from ampbench.bench.launch.ended_rows import write_ended
from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.queue.group_queue import GroupQueue
from ampbench.bench.launch.queue.places import Team
from ampbench.bench.launch.ray.code import Code
from ampbench.bench.launch.ray.head import ASKED_EVERY_S, Head
from ampbench.bench.launch.ray.lane import Lane
from ampbench.bench.launch.ray.losses import Losses
from ampbench.bench.launch.ray.seats import Seat
from ampbench.bench.launch.shown.progress import LOST
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.run import Run
from ampbench.schema.statuses import Status

RECORDED = -1
"""In place of when a record was written before: it was told that there is a new one."""

WAITING_S = 20.0
"""A cell that the cluster has no room for within this is worth a line."""

CLOSE_S = 10.0
"""Relays are given so long to end after an interrupt."""


@dataclass
class Dispatch:
    """A run of groups on a cluster."""

    ray: Any
    code: Code
    seats: Mapping[Board, Seat]
    queue: GroupQueue
    template: Assignment
    """What is the same for every cell."""
    token: Path
    """A file among the results, which shows a node whether it sees them."""
    watcher: Watcher
    oom_guards: Mapping[str, OomGuard]
    """Kind of board -> what is known of its memory."""
    board_hours: float | None
    losses: Losses
    head: Head = field(default_factory=Head)
    lanes: dict[Team, Lane] = field(default_factory=dict)
    spent_s: float = 0.0

    def run(self) -> bool:
        """Run all groups.

        Returns:
            Whether all were run that boards are left for; False if the hours were used up.

        Raises:
            KeyboardInterrupt: after every relay has been killed. What was finished is kept.
            RequestError: likewise, when a record cannot be written, no board is left, or the cluster's head is gone.
        """
        try:
            while True:
                self._hand_out()
                busy = [lane for lane in self.lanes.values() if lane.run]
                if not busy:
                    break
                self._listen(busy)
            if self._used_up and (self.queue.num_waiting or self.lanes):
                return False
            line = self.losses.stranded(self.queue.stranded, self.seats.values())
            if line and len(self.losses.boards) == len(self.seats):
                raise RequestError(line)
            if line:
                self.losses.say(line)
            return True
        except ConnectionError:  # of Ray's client, whose server is on the head
            self.head.require()
            raise
        finally:
            if not self.head.is_gone:
                self._close()

    @property
    def _used_up(self) -> bool:
        return self.board_hours is not None and self.spent_s >= 3600 * self.board_hours

    def _hand_out(self) -> None:
        """Give every free relay the next cell of its group, and free boards the next group."""
        idle: dict[Team, Lane] = {}
        while True:
            for team, lane in [*self.lanes.items()]:
                while lane.run is None and lane.runs and not self._used_up:
                    self._begin(lane, lane.runs.popleft())
                if lane.run is None and not lane.runs:
                    idle[team] = self.lanes.pop(team)
                    self.queue.release(team)
            begun = None if self._used_up else self.queue.take()
            if begun is None:
                break
            team, runs = begun
            for other in [one for one in idle if one != team and set(one) & set(team)]:
                idle.pop(other).close(self.ray)  # Ray counts its boards as taken
            lane = idle.pop(team) if team in idle else Lane.open(self.ray, team, self.seats[team[0]], self.code)
            lane.runs = deque(runs)
            self.lanes[team] = lane
        for lane in idle.values():
            lane.close(self.ray)

    def _begin(self, lane: Lane, run: Run) -> None:
        run = replace(run, board=lane.team[0], peers=lane.team[1:])
        if run.recorded_ns is not None and not run.again:  # another launcher was faster
            self.watcher.ended(run, {"status": "done", "because": "its record is there, as by another launcher"})
            return
        most = self.queue.most_gpus(run.board)
        if run.board.is_gpu and run.cell.gpus > most:
            because = f"asks for {run.cell.gpus} GPUs of one model, and no node of the cluster has more than {most}"
            self._write_ended(run, lane.seat, "unsupported", because)
            return
        seat = lane.seat
        asked = replace(
            self.template,
            runs=(run,),
            place=seat.board.host,
            gpus=seat.gpus,
            kinds=(seat.kind,),
            oom_guard=self.oom_guards[seat.kind],
        )
        lane.begin(run, asked, str(self.token))

    def _listen(self, busy: Sequence[Lane]) -> None:
        """Wait until a relay speaks or is lost, and take that in."""
        late = [lane for lane in busy if lane.started_s is None and not lane.is_waiting_told]
        left_s = min((lane.asked_s + WAITING_S - time.monotonic() for lane in late), default=None)
        by_answer = {lane.answer: lane for lane in busy}
        timeout = ASKED_EVERY_S if left_s is None else min(ASKED_EVERY_S, max(0.0, left_s))
        ready, _ = self.ray.wait([*by_answer], num_returns=1, timeout=timeout, fetch_local=False)
        if not ready:
            self.head.require()
        for answer in ready:
            lane = by_answer[answer]
            try:
                said = lane.heard(self.ray)
            except self.ray.exceptions.RayError as e:
                self._lost(lane, e)
                continue
            for one in said:
                self._take_in(lane, one)
        for lane in late:
            if lane.started_s is None and lane.run and time.monotonic() >= lane.asked_s + WAITING_S:
                lane.is_waiting_told = True
                self.losses.say(f"{lane.run.cell}: waiting for {lane.seat.board}, until its node has room and its data")

    def _take_in(self, lane: Lane, said: Said) -> None:
        if said.kind == "finished":
            lane.run = None
            return
        run = lane.run
        assert run is not None
        if said.boards:
            run = lane.run = replace(run, board=said.boards[0], peers=said.boards[1:])
        if said.kind == "line":
            self.losses.say(str(said.facts["because"]))
        elif said.kind == "started":
            lane.started_s = time.monotonic()
            self.watcher.started(run)
        elif said.kind == "told":
            self.watcher.told(run, said.facts)
        elif said.kind == "ended":
            if said.files:
                self.losses.say_once(
                    f"{run.board.host} does not see {self.token.parent}: its results are carried here, and a training "
                    "that is cut short there begins anew, for its checkpoints are not"
                )
                write_files(run, said.files)
            self.oom_guards[lane.seat.kind].observe(run.cell, said.facts.get("status"))
            self.watcher.ended(run, said.facts)
            self.queue.learn(run, lane.worked_s)
            self.spent_s += len(lane.team) * lane.worked_s
            lane.recorded_before_ns = RECORDED
        elif said.kind == "refused":
            self._refused(lane, str(said.facts["because"]))

    def _write_ended(self, run: Run, seat: Seat, status: Status, because: str) -> None:
        """Write the row of a cell that no node will write."""
        with keeping(run):
            write_ended(run, status, because, seat.origin(run.board))
        self.watcher.ended(run, {"status": status, "because": because})

    def _lost(self, lane: Lane, error: Exception) -> None:
        """Give the cells of a lost relay back to the queue; what was told of the cell at work is forgotten."""
        self.head.require()  # a head takes its nodes with it, and Ray answers no further question
        run = lane.run
        assert run is not None
        self.spent_s += len(lane.team) * lane.worked_s
        rest = [*lane.runs]
        if lane.started_s is not None:
            self.watcher.told(run, {"phase": LOST})
        if lane.has_left_a_record:
            if lane.recorded_before_ns != RECORDED:
                self.watcher.ended(run, {"status": "done", "because": "its record is there; see the report"})
        elif because := self.losses.of_cell(run, error, is_begun=lane.started_s is not None):
            self._write_ended(run, lane.seat, "crashed", because)
        else:
            rest.insert(0, run)
            self.losses.say(f"{run.cell} runs again: it was on {run.board}, whose node or process was lost")
        self._end(lane)
        if because := self.losses.of_board(lane.seat, error):
            self._lose_node(lane.seat, because)
        self.queue.release(lane.team, rest)

    def _refused(self, lane: Lane, because: str) -> None:
        """Use a node no longer that says it cannot run cells, and give its group to others."""
        rest = [*([] if lane.has_left_a_record or lane.run is None else [lane.run]), *lane.runs]
        self._end(lane)
        self._lose_node(lane.seat, because)
        self.queue.release(lane.team, rest)

    def _lose_node(self, seat: Seat, because: str) -> None:
        """Use the boards of a node no longer."""
        boards = [board for board, one in self.seats.items() if one.node_id == seat.node_id]
        self.losses.give_up(boards, because)
        self.queue.lose(boards)

    def _end(self, lane: Lane) -> None:
        lane.close(self.ray)
        lane.run = None
        del self.lanes[lane.team]

    def _close(self) -> None:
        """Kill all relays, and wait until they are gone."""
        for lane in self.lanes.values():
            lane.close(self.ray)
        answers = [lane.answer for lane in self.lanes.values() if lane.answer is not None]
        with suppress(Exception):
            self.ray.wait(answers, num_returns=len(answers), timeout=CLOSE_S)
