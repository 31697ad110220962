"""choices.json in a folder of results: the settings that were found for it, with their reasons."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from ampbench.bench.store.atomic import write_json
from ampbench.schema.choices import Choice
from ampbench.schema.files import CHOICES


def read_choices(folder: Path) -> tuple[Choice, ...]:
    """Return the choices that a folder holds, in their order; none if its file is missing or damaged."""
    try:
        return tuple(Choice(**row) for row in json.loads((folder / CHOICES).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return ()


def write_choices(folder: Path, choices: Iterable[Choice]) -> None:
    """Add choices to those of a folder; one of the same field and subject is replaced in its place."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {(choice.field, choice.subject): choice for choice in (*read_choices(folder), *choices)}
    write_json(folder / CHOICES, [asdict(choice) for choice in kept.values()])
