"""What a launcher makes of nodes that end, refuse and vanish: every cell once, groups whole, one line a loss."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ampbench.bench.launch.cluster.assignment import Assignment, Said
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.queue.group_queue import GroupQueue
from ampbench.bench.launch.ray import head, lane
from ampbench.bench.launch.ray.code import Code
from ampbench.bench.launch.ray.dispatch import Dispatch
from ampbench.bench.launch.ray.head import Head
from ampbench.bench.launch.ray.losses import MOST_LOSSES, Losses
from ampbench.bench.launch.ray.seats import Seat
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.run import Run
from tests.support.pretended_ray import CPU, PretendedRay, RayError, begins, ends, finishes, is_lost, seat

Finish = Callable[[], None]


class Heard:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.ended_as: list[tuple[str, str]] = []

    def started(self, run: Run) -> None: ...

    def told(self, run: Run, facts: Any) -> None: ...

    def ended(self, run: Run, facts: Any) -> None:
        self.ended_as.append((str(run.cell), str(facts["status"])))


class Cluster:
    """Seats, a pretended Ray, and a dispatch over them."""

    def __init__(self, folder: Path, *seats: Seat) -> None:
        self.folder = folder
        self.ray = PretendedRay()
        self.seats = {one.board: one for one in seats}
        self.heard, self.lines = Heard(), list[str]()
        self.bound: dict[str, str] = {}
        self.head_at = ""

    def run(self, groups: Sequence[Sequence[Run]], board_hours: float | None = None) -> bool:
        made = Dispatch(
            ray=self.ray,
            code=Code(),
            seats=self.seats,
            queue=GroupQueue(groups, [*self.seats], kind_of=lambda board: self.seats[board].kind, bound=self.bound),
            template=Assignment(runs=(), place=""),
            token=self.folder / ".seen",
            watcher=self.heard,
            oom_guards={one.kind: OomGuard() for one in self.seats.values()},
            board_hours=board_hours,
            losses=Losses(ray=self.ray, say=self.lines.append),
            head=Head(address=self.head_at),
        )
        return made.run()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cluster]:
    def make(*seats: Seat) -> Cluster:
        made = Cluster(tmp_path, *seats)
        monkeypatch.setattr(lane, "relay_on", made.ray.relay_on)
        return made

    return make


@pytest.fixture
def groups(tmp_path: Path) -> list[list[Run]]:
    return [[run_of(tmp_path, recipe, seed=seed) for recipe in ("fp32", "bf16_amp")] for seed in range(4)]


def run_of(folder: Path, recipe: str = "fp32", **fields: Any) -> Run:
    cell = Cell(model="LeNet", data="digits", precision=RECIPES[recipe], batch_size=64, **fields)
    return Run(
        folder=folder / "x" / "runs" / cell.run_folder,
        cell=cell,
        protocol=MeasurementProtocol(),
        budget=Budget(),
        board=seat("n1").board,
        order=1,
        command="python bench/run_matrix.py x.toml",
    )


def record(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = pq.read_table(run.record_path).to_pylist()[0]
    return row


def assert_each_once(made: Cluster, groups: Sequence[Sequence[Run]]) -> None:
    names = [str(run.cell) for group in groups for run in group]
    assert sorted(name for name, _ in made.heard.ended_as) == sorted(names)
    assert {status for _, status in made.heard.ended_as} == {"ok"}


def hosts_of(made: Cluster, group: Sequence[Run]) -> set[str]:
    names = {str(run.cell) for run in group}
    return {host for host, name in made.ray.asked if name in names}


def test_every_cell_is_run_once_and_a_group_stays_on_one_node(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    made = cluster(seat("n1"), seat("n2"))
    assert made.run(groups)
    assert_each_once(made, groups)
    assert all(len(hosts_of(made, group)) == 1 for group in groups)
    assert {host for host, _ in made.ray.asked} == {"n1", "n2"}
    assert made.lines == []


def test_a_lost_node_costs_the_cell_in_flight_which_runs_again_elsewhere_and_counts_once(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    made = cluster(seat("n1"), seat("n2"))
    made.ray.scripts["n1"] = deque([is_lost])
    assert made.run(groups)
    assert_each_once(made, groups)
    assert [host for host, _ in made.ray.asked].count("n1") == 1
    assert len(made.lines) == 2
    assert "runs again: it was on n1 cpu" in made.lines[0]
    assert "node n1 was lost; n1 cpu will run nothing more" in made.lines[1]


def test_a_record_that_was_written_before_the_loss_was_heard_of_is_not_made_again(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    def finishes_and_is_lost(asked: Assignment, ray: PretendedRay, finish: Finish) -> Any:
        finish()
        return is_lost(asked, ray, finish)

    made = cluster(seat("n1"), seat("n2"))
    made.ray.scripts["n1"] = deque([finishes_and_is_lost])
    assert made.run(groups)
    assert len(made.ray.asked) == len(made.heard.ended_as) == 8
    assert [status for _, status in made.heard.ended_as].count("done") == 1


def test_a_loss_after_the_end_was_told_ends_nothing_twice(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    def ends_and_is_lost(asked: Assignment, ray: PretendedRay, finish: Finish) -> Any:
        finish()
        return [[*begins(asked), ends(asked)[0]], RayError("The worker died")]

    made = cluster(seat("n1"))
    made.ray.scripts["n1"] = deque([ends_and_is_lost])
    assert made.run(groups)
    assert_each_once(made, groups)


def test_a_cell_that_ends_its_node_again_and_again_is_a_row(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    def dies(asked: Assignment, ray: PretendedRay, finish: Finish) -> Any:
        return [begins(asked), RayError("Worker exit type: SYSTEM_ERROR")]

    made = cluster(seat("n1"), seat("n2"), seat("n3"))
    for host in ("n1", "n2", "n3"):
        made.ray.scripts[host] = deque([dies] * MOST_LOSSES)
    [first, *_] = groups
    assert made.run([first[:1]])
    assert len(made.ray.asked) == MOST_LOSSES
    assert record(first[0])["status"] == "crashed"
    assert record(first[0])["because"].startswith("its node or process was lost 3 times while it ran: Worker exit")
    assert record(first[0])["machine"] == "a CPU"


def test_a_group_of_a_kind_that_is_gone_waits_without_a_record_and_a_line_says_for_what(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    other = replace(CPU, machine="another CPU")
    made = cluster(seat("n1"), seat("n2", machine=other))
    made.bound = {groups[0][0].cell.group_id: made.seats[seat("n1").board].kind}
    made.ray.scripts["n1"] = deque([is_lost] * 4)
    assert made.run(groups)
    assert "n2" not in hosts_of(made, groups[0])
    assert not any(run.record_path.exists() for run in groups[0])
    assert len(made.heard.ended_as) == 6
    assert made.lines[-1].startswith("2 cells have no record, for no board is left that may run them: node n1 was lost")
    assert "wait for a CPU" in made.lines[-1]


def test_a_group_that_began_on_one_kind_does_not_go_on_on_another(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    made = cluster(seat("n1"), seat("n2", machine=replace(CPU, machine="another CPU")))
    made.ray.scripts["n1"] = deque([lambda a, r, f: (f(), [[*begins(a), *ends(a)]])[1], is_lost])
    made.run(groups)
    kinds = [hosts_of(made, group) for group in groups]
    assert all(len(hosts) == 1 for hosts in kinds)


def test_a_cell_for_more_gpus_than_a_node_has_is_an_unsupported_row(
    cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    made = cluster(*(seat("n1", f"GPU-{i}", name="A100") for i in range(4)), seat("n2", "GPU-9", name="A100"))
    run = run_of(tmp_path, gpus=8)
    assert made.run([[run]])
    assert made.ray.asked == []
    assert record(run)["status"] == "unsupported"
    assert record(run)["because"] == "asks for 8 GPUs of one model, and no node of the cluster has more than 4"


def test_a_node_that_cannot_run_cells_is_left_out_and_the_others_go_on(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    made = cluster(seat("n1"), seat("n2"))
    made.ray.scripts["n1"] = deque([refuses])
    assert made.run(groups)
    assert_each_once(made, groups)
    assert made.lines == ["on n1: no room on /scratch; n1 cpu will run nothing more"]


def refuses(asked: Assignment, ray: PretendedRay, finish: Finish) -> Any:
    said = {"because": f"on {asked.place}: no room on /scratch"}
    return [[Said(kind="refused", facts=said), Said(kind="finished", facts={"is_whole": False})]]


def test_where_no_node_can_run_cells_it_is_one_error_with_each_reason(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    made = cluster(seat("n1"), seat("n2"))
    made.ray.scripts = {host: deque([refuses]) for host in ("n1", "n2")}
    with pytest.raises(RequestError, match=r"left that may run them: on n1: no room on /scratch; on n2: no room"):
        made.run(groups)


def test_no_cell_is_started_once_the_hours_are_used_up(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    made = cluster(seat("n1"))
    assert not made.run(groups, board_hours=0.0)
    assert made.ray.asked == []


def test_what_another_launcher_has_finished_is_not_run(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    made = cluster(seat("n1"))
    made.run(groups[:2])
    other = cluster(seat("n1"))
    other.run(groups)
    assert len(other.ray.asked) == 4
    assert [status for _, status in other.heard.ended_as].count("done") == 4


def test_results_that_are_carried_are_written_here_and_a_full_disk_is_one_line(
    cluster: Callable[..., Cluster], groups: list[list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def carries(asked: Assignment, ray: PretendedRay, finish: Finish) -> Any:
        return [[*begins(asked), *ends(asked, {"record.parquet": b"PAR1", "log.txt": b"said"})]]

    made = cluster(seat("n1"))
    made.ray.scripts["n1"] = deque([carries] * 8)
    assert made.run(groups)
    for group in groups:
        for run in group:
            assert run.record_path.read_bytes() == b"PAR1"
            assert Run.load(run.folder).board.host == "n1"
    assert len(made.lines) == 1
    assert "n1 does not see" in made.lines[0]
    monkeypatch.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    again = cluster(seat("n1"))
    again.ray.scripts["n1"] = deque([carries])
    with pytest.raises(RequestError, match=r"LeNet fp32.* has no record: .*cannot be written \(No space left"):
        again.run([[replace(groups[0][0], again=True)]])


def test_what_fills_a_small_board_is_tried_on_a_large_one(
    cluster: Callable[..., Cluster], groups: list[list[Run]]
) -> None:
    known: list[tuple[str, str | None]] = []

    def runs_out(asked: Assignment, ray: PretendedRay, finish: Finish) -> Any:
        known.append((asked.place, asked.oom_guard.implies(asked.runs[0].cell)))
        ended, finished = ends(asked)
        return [[*begins(asked), replace(ended, facts={"status": "oom"}), finished]]

    made = cluster(seat("n1"), seat("n2", machine=replace(CPU, machine="a large CPU")))
    made.ray.scripts = {"n1": deque([runs_out] * 8), "n2": deque([runs_out] * 8)}
    made.run([[group[0]] for group in groups])
    firsts = dict(reversed(known))
    assert firsts == {"n1": None, "n2": None}
    assert any(because for _, because in known)


def test_a_head_that_is_gone_is_one_line_and_costs_no_cell_a_row(
    cluster: Callable[..., Cluster], groups: list[list[Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would answer nothing for a minute, and end this process then."""
    ends: list[bool] = []
    monkeypatch.setattr(head, "AGAIN_S", 0.0)
    monkeypatch.setattr(head, "end_without_ray", lambda: ends.append(True))
    made = cluster(seat("n1"))
    made.head_at = "127.0.0.1:1"
    made.ray.scripts["n1"] = deque([finishes, is_lost])
    with pytest.raises(RequestError, match=r"^the head of the Ray cluster at 127\.0\.0\.1:1 is gone \(connection refu"):
        made.run(groups)
    assert ends == [True]
    assert [status for _, status in made.heard.ended_as] == ["ok"]
    assert sum(run.recorded_ns is not None for group in groups for run in group) == 1


def test_an_interrupt_kills_every_relay(cluster: Callable[..., Cluster], groups: list[list[Run]]) -> None:
    def interrupts(asked: Assignment, ray: PretendedRay, finish: Finish) -> Any:
        raise KeyboardInterrupt

    made = cluster(seat("n1"), seat("n2"))
    made.ray.scripts["n2"] = deque([interrupts])
    with pytest.raises(KeyboardInterrupt):
        made.run(groups)
    assert made.ray.killed == 2
