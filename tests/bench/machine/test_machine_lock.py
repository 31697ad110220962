"""The lock of the whole machine: who waits for whom, and that nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ampbench.bench.launch.refusals import refuse_unwritable_locks
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.locks import hold_board, num_others_at_work
from ampbench.bench.machine.machine_lock import OTHERS, hold_machine
from ampbench.bench.plan.errors import RequestError

FIRST, SECOND, THIRD = (Board(board_id=f"cpu:{i}/3") for i in range(3))
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def own_locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMPBENCH_LOCKS", str(tmp_path))


class Cell(threading.Thread):
    """A cell that begins to wait for the machine, is at work once it has it, and ends when it is told to."""

    def __init__(self, name: str, *, exclusive: bool = False) -> None:
        super().__init__(daemon=True)
        self.owner, self.exclusive = name, exclusive
        self.works, self.waits, self.may_end = (threading.Event() for _ in range(3))
        self.told: list[str] = []

    def run(self) -> None:
        with hold_machine(self.owner, self._wait, exclusive=self.exclusive):
            self.works.set()
            assert self.may_end.wait(PATIENCE_S)

    def _wait(self, holder: str) -> None:
        self.told.append(holder)
        self.waits.set()

    def end(self) -> None:
        self.may_end.set()
        self.join(PATIENCE_S)
        assert not self.is_alive()


@pytest.fixture
def cell() -> Iterator[Callable[..., Cell]]:
    with ExitStack() as ends:

        def begin(name: str, *, exclusive: bool = False, until: str = "works") -> Cell:
            one = Cell(name, exclusive=exclusive)
            one.start()
            ends.callback(one.may_end.set)
            assert getattr(one, until).wait(PATIENCE_S)
            return one

        yield begin


def test_cells_of_several_boards_are_at_work_together(cell: Callable[..., Cell]) -> None:
    first, second = cell("first"), cell("second")
    assert first.told == second.told == []


def test_an_exclusive_cell_waits_for_the_others_and_they_wait_for_it(cell: Callable[..., Cell]) -> None:
    shared = cell("shared")
    alone = cell("alone", exclusive=True, until="waits")
    assert alone.told == [OTHERS]
    assert not alone.works.is_set()
    shared.end()
    assert alone.works.wait(PATIENCE_S)
    later = cell("later", until="waits")
    assert later.told[0].startswith("alone (process ")
    assert not later.works.is_set()
    alone.end()
    assert later.works.wait(PATIENCE_S)


def test_cells_that_begin_one_after_another_do_not_hold_an_exclusive_one_up_for_ever(cell: Callable[..., Cell]) -> None:
    """Two boards whose cells overlap never leave the machine to itself; who comes later stands behind."""
    first = cell("first")
    alone = cell("alone", exclusive=True, until="waits")
    second = cell("second", until="waits")
    first.end()
    assert alone.works.wait(PATIENCE_S)
    assert not second.works.is_set()
    alone.end()
    assert second.works.wait(PATIENCE_S)


def test_two_exclusive_cells_run_one_after_the_other(cell: Callable[..., Cell]) -> None:
    first = cell("first", exclusive=True)
    second = cell("second", exclusive=True, until="waits")
    assert not second.works.is_set()
    first.end()
    assert second.works.wait(PATIENCE_S)


def test_the_neighbours_at_work_are_counted_without_those_that_are_free_or_ones_own() -> None:
    def nobody(holder: str) -> None:
        raise AssertionError(holder)

    assert num_others_at_work([FIRST]) == 0
    with hold_board(FIRST, "a", nobody), hold_board(SECOND, "b", nobody):
        with hold_board(THIRD, "c", nobody):
            assert num_others_at_work([FIRST]) == 2
            assert num_others_at_work([FIRST, SECOND]) == 1
        assert num_others_at_work([FIRST]) == 1, "the third ended: its file is there, its lock is not"
        assert num_others_at_work([THIRD]) == 2
    with hold_board(SECOND, "b", nobody):
        pass  # a look does not keep the lock


def test_a_lock_of_the_machine_that_cannot_be_taken_is_one_line_before_the_first_cell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "machine.lock").mkdir()
    with pytest.raises(RequestError, match=r"machine\.lock: cannot be written \(.*\); mend its permissions, or name"):
        refuse_unwritable_locks([FIRST])


def test_the_machine_is_free_when_its_holder_failed() -> None:
    with pytest.raises(RuntimeError), hold_machine("fails", lambda _: None, exclusive=True):
        raise RuntimeError
    with hold_machine("next", lambda holder: pytest.fail(holder), exclusive=True):
        pass
