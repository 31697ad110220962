"""What a launcher of jobs makes of what Slurm says: scripted jobs, no Slurm, no process, no time."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ampbench.bench.launch.cluster.assignment import Said
from ampbench.bench.launch.ended_rows import write_ended
from ampbench.bench.launch.groups import groups_of
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.shown.progress import Progress
from ampbench.bench.launch.slurm.dispatch import Dispatch
from ampbench.bench.launch.slurm.ledger import Array, Job, Ledger
from ampbench.bench.launch.slurm.report import Report, Reporter, following, report_path
from ampbench.bench.launch.slurm.standing import Standing
from ampbench.bench.launch.slurm.states import State
from ampbench.bench.launch.slurm.waiting import Waiting, is_done
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import provenance
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.run import Run
from tests.bench.launch.slurm.conftest import QUICK

BOARD = Board(board_id="cpu", host="n1")

Ending = State | RequestError
Script = Callable[["Doing"], Ending]


@dataclass
class Doing:
    """What a scripted job can do, with its cells in order."""

    runs: Sequence[Run]
    reporter: Reporter

    def start(self, run: Run) -> None:
        self.reporter.tell(Said(kind="started", cell_id=run.cell.cell_id, boards=(BOARD,)))

    def end(self, run: Run) -> None:
        self.start(run)
        write_ended(replace(run, board=BOARD), "ok", "", provenance(BOARD))
        facts = {"status": "ok", "cell_s": 1800.0}
        self.reporter.tell(Said(kind="ended", cell_id=run.cell.cell_id, boards=(BOARD,), facts=facts))

    def finish(self, *, is_whole: bool = True) -> State:
        self.reporter.tell(Said(kind="finished", facts={"is_whole": is_whole}))
        return State(word="RUNNING", node="n1")


def everything(doing: Doing) -> Ending:
    for run in doing.runs:
        doing.end(run)
    return doing.finish()


def lost(word: str, *, after: int = 0, start: bool = True) -> Script:
    """A job that ends with a word of Slurm's while a cell is at work, and has finished some before."""

    def script(doing: Doing) -> Ending:
        for run in doing.runs[:after]:
            doing.end(run)
        if start and len(doing.runs) > after:
            doing.start(doing.runs[after])
        return State(word=word, node="n1")

    return script


@dataclass
class Scripted:
    """A scheduler whose n-th job does what the n-th script says; the last one is repeated."""

    folder: Path
    scripts: Sequence[Script]
    submitted: list[str] = field(default_factory=list)
    found: dict[str, State] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    excluded: list[str | None] = field(default_factory=list)
    """Nodes that each array keeps off."""
    deaf: int = 0
    """Questions that get no answer."""
    most: int = 1001
    """Jobs of an array."""

    def largest_array(self) -> int:
        return self.most

    def submit(self, array: Array, tasks: Sequence[Any], values: Mapping[str, Any]) -> Array:
        array = replace(array, array_id=str(len(self.submitted) + 1))
        self.excluded.append(values.get("exclude"))
        for job, task in zip(array.jobs, tasks, strict=True):
            job_id = array.job_id(job)
            script = self.scripts[min(len(self.submitted), len(self.scripts) - 1)]
            self.submitted.append(job.group_id)
            path = report_path(self.folder, job.group_id)
            runs = task.missing
            losses = following(Report.read(path), runs, lambda run, task=task: is_done(run, task.recorded_ns))
            report = Report(job_id=job_id, node="n1", losses=losses)
            ending = script(Doing(runs, Reporter(path, report, {run.cell.cell_id: run for run in runs})))
            if isinstance(ending, RequestError):
                raise ending
            self.found[job_id] = ending
        return array

    def find(self, array: Array) -> str | None:
        return None

    def states(self, arrays: Iterable[Array]) -> dict[str, State]:
        if self.deaf:
            self.deaf -= 1
            raise RequestError("squeue: Slurm did not answer")
        return {
            id_: self.found.get(id_, State(word="GONE")) for a in arrays for job in a.jobs for id_ in [a.job_id(job)]
        }

    def cancel(self, job_ids: Sequence[str]) -> None:
        self.cancelled += job_ids
        self.found |= dict.fromkeys(job_ids, State(word="CANCELLED"))

    def how_to_end(self, job_ids: Sequence[str]) -> str:
        return ""


@pytest.fixture(autouse=True)
def no_scontrol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


class Dispatched:
    """Two groups of two cells, and what came of them."""

    def __init__(self, tmp_path: Path, *scripts: Script, one_by_one: bool = True, **fields: Any) -> None:
        plan = make_plan(parse_experiment(tmp_path / "trial.toml", QUICK))
        self.results = Folder.of(plan, tmp_path)
        ledger, self.out = Ledger.of(self.results.path), io.StringIO()
        self.beside: list[Sequence[str]] = []
        console = Console(file=self.out, width=200)
        self.scheduler = Scripted(ledger.folder, scripts, deaf=fields.pop("deaf", 0), most=fields.pop("most", 1001))
        self.runs = groups_of(plan, plan.cells, self.results, BOARD, command="", again=False)
        self.dispatch = Dispatch(
            scheduler=self.scheduler,
            ledger=ledger,
            cluster="slurm",
            task_of=lambda one, _: one,  # type: ignore[arg-type, return-value]
            parameters_of=lambda groups, name, others: self.beside.append(others) or {},  # type: ignore[func-returns-value]
            standing=Standing(console=console, log_every_s=0.0),
            watcher=Progress(console, num_cells=4),
            oom_guard=OomGuard(),
            board_hours=fields.pop("board_hours", None),
            boards=(BOARD,) if one_by_one else (),
        )

    def run(self) -> bool:
        waiting = [Waiting.of(tuple(group), frozenset()) for group in self.runs]
        return self.dispatch.run(waiting, (0.0, 0.0))

    @property
    def statuses(self) -> list[tuple[str, str]]:
        """Status and reason of each cell, in the plan's order; nothing of those without a record."""
        paths = [run.record_path for group in self.runs for run in group]
        rows = [pq.read_table(path).to_pylist()[0] for path in paths if path.exists()]
        return [(row["status"], row["because"]) for row in rows]

    @property
    def said(self) -> str:
        return self.out.getvalue()


def test_a_cell_is_lost_twice_at_most_and_the_rest_of_its_group_is_run(tmp_path: Path) -> None:
    one = Dispatched(tmp_path, lost("FAILED"), lost("FAILED"), everything)
    assert one.run()
    assert [status for status, _ in one.statuses] == ["crashed", "ok", "ok", "ok"]
    assert one.statuses[0][1] == "Slurm says FAILED of job 2 on node n1 while it ran, the 2. time"
    assert len(one.scheduler.submitted) == 4


def test_a_cell_that_took_the_whole_time_of_a_job_is_a_row_at_once_and_one_after_others_is_run_again(
    tmp_path: Path,
) -> None:
    one = Dispatched(tmp_path, lost("TIMEOUT"), everything, lost("TIMEOUT", after=1), everything)
    assert one.run()
    assert [status for status, _ in one.statuses] == ["timeout", "ok", "ok", "ok"]
    assert "it alone took the job's whole time; give more with --slurm time=" in one.statuses[0][1]


def test_a_job_whose_time_is_over_while_its_cell_waits_for_the_board_of_another_has_lost_nothing(
    tmp_path: Path,
) -> None:
    def waiting(doing: Doing) -> Ending:
        doing.start(doing.runs[0])
        facts = {"phase": "waiting", "holder": "another cell"}
        doing.reporter.tell(Said(kind="told", cell_id=doing.runs[0].cell.cell_id, boards=(BOARD,), facts=facts))
        return State(word="TIMEOUT", node="n1")

    one = Dispatched(tmp_path, waiting, everything)
    assert one.run()
    assert [status for status, _ in one.statuses] == ["ok"] * 4
    assert "waiting for" in one.said


def test_a_row_of_a_lost_cell_has_the_machine_that_its_job_ran_on(tmp_path: Path) -> None:
    one = Dispatched(tmp_path, lost("OUT_OF_MEMORY"), everything)
    assert one.run()
    row = pq.read_table(one.runs[0][0].record_path).to_pylist()[0]
    assert row["status"] == "crashed"
    assert "--slurm mem=" in row["because"]
    assert row["environment_id"] == provenance(BOARD).environment_id


@pytest.mark.parametrize("word", ["NODE_FAIL", "PREEMPTED", "GONE", "BOOT_FAIL"])
def test_a_job_lost_by_no_fault_of_a_cell_is_submitted_again_a_few_times_and_then_a_person_decides(
    tmp_path: Path, word: str
) -> None:
    one = Dispatched(tmp_path, lost(word), everything)
    assert one.run()
    assert [status for status, _ in one.statuses] == ["ok"] * 4
    never = Dispatched(tmp_path / "never", lost(word))
    with pytest.raises(RequestError, match=r"as did 2 before it: 2 cells have no record; see .*log\.out \(1 more"):
        never.run()
    assert len(never.scheduler.submitted) == 6
    assert not never.statuses


def test_a_checkpoint_that_moves_on_keeps_a_long_cell_going_through_many_jobs(tmp_path: Path) -> None:
    def further(doing: Doing) -> Ending:
        doing.start(doing.runs[0])
        (doing.runs[0].folder).mkdir(parents=True, exist_ok=True)
        path = doing.runs[0].folder / "checkpoint.pt"
        path.write_text(path.read_text() + "." if path.exists() else ".")
        return State(word="TIMEOUT")

    one = Dispatched(tmp_path, *[further] * 9, everything)
    assert one.run()
    assert [status for status, _ in one.statuses] == ["ok"] * 4


def test_a_job_that_fails_before_its_first_cell_says_why_and_is_not_submitted_for_ever(tmp_path: Path) -> None:
    def broken(doing: Doing) -> Ending:
        log = doing.reporter.path.parents[1] / "jobs" / f"{doing.reporter.report.job_id}_0_log.out"
        log.parent.mkdir(exist_ok=True)
        log.write_text("submitit INFO - Starting\nModuleNotFoundError: No module named 'ampbench'\n")
        return State(word="FAILED", node="n1")

    one = Dispatched(tmp_path, broken)
    with pytest.raises(
        RequestError, match="before its first cell: ModuleNotFoundError: No module named 'ampbench'; see"
    ):
        one.run()
    assert len(one.scheduler.submitted) == 2


@pytest.mark.parametrize(
    ("printed", "next_move"),
    [
        ("ModuleNotFoundError: No module named 'submitit'", "on that node: python -m pip install 'submitit>="),
        ("ModuleNotFoundError: No module named 'mine'", "see"),
        (f"line 22: {sys.executable}: No such file or directory", "nodes need the Python of this command in the same"),
    ],
)
def test_a_node_without_this_python_or_its_packages_is_told_from_the_last_line(
    tmp_path: Path, printed: str, next_move: str
) -> None:
    def broken(doing: Doing) -> Ending:
        log = doing.reporter.path.parents[1] / "jobs" / f"{doing.reporter.report.job_id}_0_log.out"
        log.parent.mkdir(exist_ok=True)
        log.write_text(f"{printed}\n")
        return State(word="FAILED", node="n1")

    with pytest.raises(RequestError, match=re.escape(f"{printed}; {next_move}")):
        Dispatched(tmp_path, broken).run()


def test_what_a_node_refuses_is_said_and_the_other_groups_are_run(tmp_path: Path) -> None:
    def refused(doing: Doing) -> Ending:
        doing.reporter.tell(Said(kind="refused", facts={"because": "on n1: it has torch 9.9"}))
        return doing.finish(is_whole=False)

    one = Dispatched(tmp_path, refused, everything)
    with pytest.raises(RequestError, match=r"^on n1: it has torch 9\.9$"):
        one.run()
    assert [status for status, _ in one.statuses] == ["ok", "ok"]


def refused_on(node: str) -> Script:
    def refused(doing: Doing) -> Ending:
        doing.reporter.report.node = node
        doing.reporter.tell(Said(kind="refused", facts={"because": f"on {node}: it has torch 9.9"}))
        return doing.finish(is_whole=False)

    return refused


def test_a_group_that_a_node_refuses_goes_to_another_and_the_line_is_said_once(tmp_path: Path) -> None:
    one = Dispatched(tmp_path, refused_on("n1"), everything, refused_on("n1"), everything)
    one.dispatch.num_nodes = 2
    assert one.run()
    assert [status for status, _ in one.statuses] == ["ok"] * 4
    assert one.scheduler.excluded == [None, "n1", None, "n1"]
    assert one.said.count("on n1: it has torch 9.9. Meanwhile such cells go to other nodes") == 1


@pytest.mark.parametrize(("num_nodes", "jobs"), [(2, 2), (9, 3)])
def test_a_group_that_every_node_refuses_is_not_submitted_for_ever(tmp_path: Path, num_nodes: int, jobs: int) -> None:
    nodes = [refused_on(f"n{i}") for i in range(jobs)]
    one = Dispatched(tmp_path, *nodes, *nodes)
    one.dispatch.num_nodes = num_nodes
    with pytest.raises(RequestError, match=rf"^on n{jobs - 1}: it has torch 9\.9 \(1 more like this\)$"):
        one.run()
    assert len(one.scheduler.submitted) == 2 * jobs


def test_what_a_node_refused_before_this_command_is_asked_again_for_it_may_be_mended(tmp_path: Path) -> None:
    one = Dispatched(tmp_path, everything)
    group = one.runs[0]
    job = Job(group_id=group[0].cell.group_id, task=0)
    with one.dispatch.ledger.changing():
        one.dispatch.ledger.add(Array(name="x-1", cluster="slurm", array_id="77", jobs=(job,)))
    one.scheduler.found["77"] = State(word="COMPLETED", node="n1")
    path = report_path(one.dispatch.ledger.folder, job.group_id)
    refused_on("n1")(Doing(group, Reporter(path, Report(job_id="77"), {run.cell.cell_id: run for run in group})))
    assert one.run()
    assert [status for status, _ in one.statuses] == ["ok"] * 4
    assert "on n1: it has torch 9.9. That was before this command, and another job is submitted" in one.said


def test_where_slurm_has_no_other_node_for_a_group_what_the_one_said_is_the_error(tmp_path: Path) -> None:
    def none_left(doing: Doing) -> Ending:
        return RequestError("sbatch refuses the jobs: Requested node configuration is not available")

    one = Dispatched(tmp_path, refused_on("n1"), none_left, everything)
    one.dispatch.num_nodes = 2
    with pytest.raises(RequestError, match=r"^on n1: it has torch 9\.9$"):
        one.run()
    assert [status for status, _ in one.statuses] == ["ok", "ok"]


def test_slurm_may_be_deaf_for_a_while_and_no_job_counts_as_lost(tmp_path: Path) -> None:
    one = Dispatched(tmp_path, everything, deaf=3, one_by_one=False)
    assert one.run()
    assert len(one.scheduler.submitted) == 2
    assert one.said.count("squeue: Slurm did not answer; jobs go on, asking again") == 1


def test_more_groups_than_an_array_may_have_jobs_are_several_arrays_and_each_is_told_of_the_others(
    tmp_path: Path,
) -> None:
    one = Dispatched(tmp_path, everything, most=1, one_by_one=False)
    assert one.run()
    assert [status for status, _ in one.statuses] == ["ok"] * 4
    assert one.scheduler.submitted == [group[0].cell.group_id for group in one.runs]
    assert one.beside == [(), ("1",)]


@pytest.mark.parametrize(
    ("reason", "move"),
    [
        ("JobHeldUser", "to let one go on: scontrol release 1"),
        ("PartitionConfig", "scontrol show job 1 says more, and scancel 1 ends them"),
    ],
)
def test_what_a_job_waits_for_that_a_person_may_mend_is_said_once_with_the_next_move(
    tmp_path: Path, reason: str, move: str
) -> None:
    one = Dispatched(tmp_path, everything)
    for _ in range(2):
        one.dispatch.standing.show({"1": State(word="PENDING", reason=reason)})
    assert one.said.count(f"Slurm lets jobs wait: {reason}; {move}") == 1


def test_hours_that_are_used_up_end_the_queue_and_not_what_is_at_work(tmp_path: Path) -> None:
    def first_only(doing: Doing) -> Ending:
        if doing.reporter.report.job_id.endswith("_0"):
            return everything(doing)
        return State(word="PENDING", reason="Resources")

    one = Dispatched(tmp_path, first_only, board_hours=0.75, one_by_one=False)
    assert not one.run()
    assert one.scheduler.cancelled == ["1_1"]
    assert [status for status, _ in one.statuses] == ["ok", "ok"]


def test_an_array_of_which_nobody_knows_whether_it_was_submitted_is_forgotten_if_slurm_has_none(tmp_path: Path) -> None:
    one = Dispatched(tmp_path, everything)
    with one.dispatch.ledger.changing():
        one.dispatch.ledger.add(
            Array(name="x-1", cluster="slurm", jobs=(Job(group_id=one.runs[0][0].cell.group_id, task=0),))
        )
    assert one.run()
    assert len(one.scheduler.submitted) == 2
    assert not Ledger.of(one.results.path).arrays


def test_an_array_that_was_submitted_by_a_launcher_killed_at_that_moment_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Dispatched(tmp_path, everything)
    group = one.runs[0]
    with one.dispatch.ledger.changing():
        one.dispatch.ledger.add(
            Array(name="x-1", cluster="slurm", jobs=(Job(group_id=group[0].cell.group_id, task=0),))
        )
    monkeypatch.setattr(one.scheduler, "find", lambda array: "77")
    one.scheduler.found["77"] = State(word="RUNNING", node="n1")
    path = report_path(one.dispatch.ledger.folder, group[0].cell.group_id)
    everything(Doing(group, Reporter(path, Report(job_id="77"), {run.cell.cell_id: run for run in group})))
    assert one.run()
    assert len(one.scheduler.submitted) == 1
    assert "4/4 LeNet" in one.said


def test_a_job_that_was_cancelled_before_the_launcher_came_is_submitted_again_and_one_of_its_own_is_not(
    tmp_path: Path,
) -> None:
    one = Dispatched(tmp_path, everything)
    with one.dispatch.ledger.changing():
        old = Job(group_id=one.runs[0][0].cell.group_id, task=0)
        one.dispatch.ledger.add(Array(name="x-1", cluster="slurm", array_id="77", jobs=(old,)))
    one.scheduler.found["77"] = State(word="CANCELLED")
    assert one.run()
    assert "Slurm says CANCELLED of job 77: 2 cells have no record, and another job is submitted" in one.said
    assert [status for status, _ in one.statuses] == ["ok"] * 4
    other = Dispatched(tmp_path / "other", lost("CANCELLED"), everything)
    with pytest.raises(RequestError, match=r"CANCELLED of job 1 .*: 2 cells have no record; the same command submits"):
        other.run()


def test_a_damaged_ledger_or_report_costs_nothing_but_what_it_said(tmp_path: Path) -> None:
    one = Dispatched(tmp_path, everything)
    one.dispatch.ledger.folder.mkdir(parents=True)
    one.dispatch.ledger.path.write_text('{"arrays": [{"name": 3')
    path = report_path(one.dispatch.ledger.folder, one.runs[0][0].cell.group_id)
    path.parent.mkdir()
    path.write_text("[]")
    assert one.run()
    assert [status for status, _ in one.statuses] == ["ok"] * 4


def test_two_jobs_that_share_a_nodes_board_in_turns_are_told_apart(tmp_path: Path) -> None:
    one = Dispatched(tmp_path, everything)
    groups = [Waiting.of(tuple(group), frozenset()) for group in one.runs]
    one.dispatch.waiting = {each.group_id: each for each in groups}
    groups[0].at_work = one.dispatch._seats(groups[0], [BOARD], "1_0")
    groups[1].at_work = one.dispatch._seats(groups[1], [BOARD], "1_1")
    assert [str(group.at_work[0]) for group in groups] == ["n1 cpu", "n1, job 1_1 cpu"]
