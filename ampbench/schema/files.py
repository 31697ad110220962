"""The names of the files of results, which bench/ writes and visualize/ reads."""

from __future__ import annotations

from pathlib import Path

from ampbench.terminal import WIDTH

PLAN = "plan.json"
"""In an experiment's results folder: all cells with their defaults, the experiment file's text, the commit."""

STAMP = ".joined.json"
"""In an experiment's results folder: what the joined tables were made of, and the files that were left out."""

SUMMARY = "summary.txt"
"""In an experiment's results folder: the report's table and verdict as text. It is deleted when the tables change."""

ASKED_WITH = "Asked with "
"""Begins the first line of a summary that answers by the wishes of one reader: for others it is made anew."""

REPORT = "report.html"
"""In an experiment's results folder."""

LOOKS = "looks.json"
"""In an experiment's results folder: at which numbers of pairs the report judged each comparison."""

ROUNDS = "rounds.json"
"""In an experiment's results folder: how many rounds each cell goes on to, where `rounds = "adaptive"`."""

CHOICES = "choices.json"
"""In an experiment's results folder: the settings that were found for it rather than typed, with their reasons."""

INTERFERENCE = "interference.json"
"""In an experiment's results folder: whether a cell runs slower while other boards of the machine work. Its rounds are
in the folder of this name without the ending."""

SEARCH = "search.json"
"""In the results folder of a search: which cells are its trials and reruns, and their settings."""

STUDY = "study.journal"
"""In the results folder of a search: its trials as Optuna's own tools read them, such as optuna-dashboard."""

BEST_SETTING = "best.toml"
"""In the results folder of a search: the best setting as an experiment file."""

RUNS = "runs"
"""In an experiment's results folder: a folder for each run."""

CELL_FILE = "cell.json"
"""In a run's folder: the cell and how it is to be measured."""

RECORD = "record.parquet"
"""In a run's folder: the run's row of `cells`. Its existence means *done*."""

BUNDLE = "run.bundle"
"""In a run's folder: the rows of its Parquet files once more, in one file that the joined tables are made from."""

BEST, FINAL = "best.pt", "model_final.pt"
"""In a run's folder: the weights of its best and of its last epoch, where the experiment asks for them."""


def table_file(table: str) -> str:
    """Return the name of a table's file: of a joined one, and of one in a run's folder."""
    return f"{table}.parquet"


CELLS = table_file("cells")
"""In an experiment's results folder: a row for each cell of its plan."""


def summary_file(width: int) -> str:
    """Return the name of the summary for a terminal of so many columns."""
    return SUMMARY if width == WIDTH else f"{Path(SUMMARY).stem}-{width}.txt"
