"""search.json in a folder of results: what a search has proposed so far."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ampbench.bench.store.atomic import write_json
from ampbench.schema.files import SEARCH
from ampbench.schema.search import SearchRecord


def write_search(folder: Path, record: SearchRecord) -> None:
    """Write it, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SEARCH, asdict(record))
