"""A cell whose job ended before it runs again, or gets a row: no cause of an end makes a matrix go on for ever."""

from __future__ import annotations

import itertools

import pytest

from ampbench.bench.launch.slurm.losses import MOST_RESTARTS, row_of_lost
from ampbench.bench.launch.slurm.states import ENDED, GONE


def row(word: str, *, num_losses: int = 1, was_first: bool = True, has_moved_on: bool = False) -> str | None:
    found = row_of_lost(word, "Slurm says so", num_losses=num_losses, was_first=was_first, has_moved_on=has_moved_on)
    return found[0] if found else None


@pytest.mark.parametrize("word", [*ENDED, GONE])
def test_a_cell_that_never_moves_on_gets_a_row_in_the_end_whatever_slurm_says(word: str) -> None:
    losses = itertools.takewhile(lambda n: row(word, num_losses=n, was_first=False) is None, itertools.count(1))
    assert len(list(losses)) < MOST_RESTARTS


@pytest.mark.parametrize("word", [*ENDED, GONE])
def test_a_cell_whose_checkpoint_moved_on_is_never_given_up(word: str) -> None:
    assert row(word, num_losses=99, has_moved_on=True) is None


def test_a_cell_that_alone_took_a_jobs_whole_time_or_memory_gets_a_row_at_once() -> None:
    assert row("TIMEOUT") == "timeout"
    assert row("TIMEOUT", was_first=False) is None, "other cells had most of the time"
    assert row("OUT_OF_MEMORY", was_first=False) == "crashed"


@pytest.mark.parametrize("word", ["CANCELLED", "PREEMPTED", "NODE_FAIL", "GONE"])
def test_what_is_no_fault_of_the_cell_is_run_again_where_a_failed_job_would_count(word: str) -> None:
    assert row(word, num_losses=2) is None
    assert row("FAILED", num_losses=1) is None
    assert row("FAILED", num_losses=2) == "crashed"
