"""A slow node is found by its rows, and equal ones are not named."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.runs.slow_boards import slow_boards
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.read.frame import Results, read
from tests.visualize.conftest import Folder, cell


def cluster(folder: Folder, speeds: dict[str, float], *, board: str = "cpu", noise: float = 0.01) -> Results:
    """Write groups of two recipes at three batch sizes, each on the next host in turn."""
    rng, hosts = np.random.default_rng(1), list(speeds)
    for i in range(12 * len(hosts)):
        host = hosts[i % len(hosts)]
        for recipe, times in (("fp32", 1.0), ("bf16_amp", 1.8)):
            made = cell(recipe, (64, 128, 256)[i % 3 if len(hosts) % 3 else i // len(hosts) % 3], seed=i, epochs=0)
            speed = made.batch_size * times * speeds[host] * np.exp(noise * rng.standard_normal())
            folder.add(made, images_per_s=speed, host=host, board=board)
    return read(folder.write())


def test_a_slow_host_is_named_in_the_health_of_what_ran_on_it_and_spoils_no_ratio(folder: Folder) -> None:
    results = cluster(folder, {"node1": 1.0, "node2": 0.8, "node3": 1.0, "node4": 1.0})
    (slow,) = slow_boards(results.ok)
    assert (slow.host, slow.num_processes) == ("node2", 24)
    assert slow.times == pytest.approx(0.8, abs=0.02)
    rows = standings(results, verdicts_of(results))
    said = [c for row in rows for c in row.concerns if "host node2 runs 0.8" in c.text]
    assert said
    assert not any(c.spoils for c in said)
    assert {len(row.concerns) for row in rows} == {1}, "its processes are no outliers among those of their board"
    ratios = [row.speedup for row in rows if row.verdict]
    assert ratios == pytest.approx([1.8] * 3, rel=0.02), "pairs are taken on one board"


def test_of_two_hosts_the_slower_one_is_named(folder: Folder) -> None:
    (slow,) = slow_boards(cluster(folder, {"a": 1.0, "b": 0.7}).ok)
    assert (slow.host, slow.times) == ("b", pytest.approx(0.7, abs=0.02))


@pytest.mark.parametrize(
    "speeds",
    [{"node1": 1.0, "node2": 0.97, "node3": 1.0}, {"node1": 1.0}],
    ids=["as boards of one product differ", "one host"],
)
def test_equal_hosts_are_not_named(folder: Folder, speeds: dict[str, float]) -> None:
    assert slow_boards(cluster(folder, speeds).ok) == []


def test_noise_names_no_host(folder: Folder) -> None:
    assert slow_boards(cluster(folder, dict.fromkeys("abcdefgh", 1.0), noise=0.3).ok) == []


def test_machines_of_two_kinds_are_not_measured_by_each_other(folder: Folder) -> None:
    for seed in range(8):
        kind = {"environment_id": "e2", "machine": "Old GPU", "host": "old"} if seed % 2 else {"host": "new"}
        for recipe in ("fp32", "bf16_amp"):
            folder.add(cell(recipe, seed=seed, epochs=0), images_per_s=500.0 if seed % 2 else 1000.0, **kind)
    assert slow_boards(read(folder.write()).ok) == []


def test_older_rows_without_a_host_are_told_apart_by_their_boards(folder: Folder) -> None:
    for i, (board, speed, host) in enumerate(
        [("GPU-1", 1000.0, "n1"), ("GPU-1", 1000.0, None), ("GPU-2", 800.0, "n1")]
    ):
        for seed in range(4 * i, 4 * i + 4):
            folder.add(cell("fp32", seed=seed, epochs=0), images_per_s=speed + seed, board=board, host=host)
    (slow,) = slow_boards(read(folder.write()).ok)
    assert (slow.host, slow.board) == ("", "GPU-2")


def test_a_host_that_is_faster_and_whose_clock_is_an_hour_on_is_no_drift(folder: Folder) -> None:
    for host in range(2):
        for number in range(3):
            for place, (recipe, times) in enumerate((("fp32", 1.0), ("bf16_amp", 1.05))):  # always second, by 10 min
                started = datetime(2026, 1, 2, 1 + host, 20 * number % 60 + 10 * place, tzinfo=UTC)
                speed = 1000.0 * times * (1.0, 1.5)[host] + 0.1 * number
                folder.add(cell(recipe, seed=host, epochs=0, round=number), images_per_s=speed, started_at=started,
                           host=f"node{host}", board="cpu")  # fmt: skip
    results = read(folder.write())
    said = [c.text for row in standings(results, verdicts_of(results)) for c in row.concerns]
    assert not [text for text in said if "the machine changed" in text], said
