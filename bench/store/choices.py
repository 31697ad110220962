"""choices.json in a folder of results: the settings that were found for it, with their reasons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from ampbench.bench.store.atomic import write_json
from ampbench.schema.choices import Choice, read_choices
from ampbench.schema.files import CHOICES


def write_choices(folder: Path, choices: Iterable[Choice]) -> None:
    """Add choices to those of a folder; one of the same field and subject is replaced in its place."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {(choice.field, choice.subject): choice for choice in (*read_choices(folder), *choices)}
    write_json(folder / CHOICES, [asdict(choice) for choice in kept.values()])
