"""What a report says of cells that ran beside busy boards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ampbench.bench.store.interference import write_interference
from ampbench.schema.interference import ADVICE, Interference
from ampbench.visualize.read.frame import read
from ampbench.visualize.read.notes import notes
from tests.visualize.conftest import Folder, cell

CHECK = Interference(
    verdict="slower",
    ratio=0.9,
    low=0.89,
    high=0.91,
    shown="0.90x [0.89, 0.91]",
    n=4,
    images_per_s_alone=1000.0,
    cell="VGG19 fp32 b128 s0",
    num_threads=None,
    board="GPU-1",
    neighbours=("GPU-2", "GPU-3"),
    machine="Test GPU",
    environment_id="e1",
    measured_at="2026-01-02T03:04:05+00:00",
    command="python bench/run_matrix.py experiments/x.toml --check-interference",
)


def said(folder: Path) -> list[str]:
    return [note for note in notes(read(folder)) if "busy" in note]


@pytest.mark.parametrize(
    ("verdict", "num_neighbours", "ends"),
    [
        ("slower", 2, f"; 2 of 3 cells here had such neighbours: {ADVICE}."),
        ("can't tell", 2, f"; 2 of 3 cells here had such neighbours: {ADVICE}."),
        ("slower", 0, "; no cell here had such neighbours."),
        ("same", 2, "(VGG19 fp32 b128 s0 on Test GPU)."),
    ],
)
def test_a_check_is_said_with_how_the_cells_of_the_folder_ran(
    verdict: str, num_neighbours: int, ends: str, folder: Folder
) -> None:
    for seed in range(3):
        folder.add(cell(seed=seed), num_neighbours=num_neighbours if seed else 0, exclusive=False)
    path = folder.write()
    assert said(path) == []
    write_interference(path, dataclasses.replace(CHECK, verdict=verdict))  # type: ignore[arg-type]
    (note,) = said(path)
    assert note.startswith("Beside 2 busy boards a cell ")
    assert note.endswith(ends)


def test_older_rows_do_not_know_their_neighbours(folder: Folder) -> None:
    for seed in range(3):
        folder.add(cell(seed=seed))
    path = folder.write()
    write_interference(path, CHECK)
    assert "such neighbours: run" not in said(path)[0]
