"""rounds.json in a folder of results: how many rounds each timing goes on to, as each look decided it.

It is written before the first of these rounds is run. So a launcher that was killed comes to the same plan again, and
several launchers of one folder, each with a part of its cells, come to one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ampbench.bench.store.atomic import write_json
from ampbench.bench.store.folder import Folder
from ampbench.schema.files import ROUNDS

GOES_ON, DECIDED = "rounds", "decided"


def read_rounds(folder: Folder) -> dict[str, int]:
    """Return `timing_id` -> rounds; none if the file is missing or damaged, and then the looks are taken again."""
    found = _read(folder.path).get(GOES_ON)
    return {str(k): n for k, n in found.items() if isinstance(n, int)} if isinstance(found, dict) else {}


def add_rounds(folder: Folder, num_rounds: Mapping[str, int]) -> None:
    """Let timings go on to so many rounds; none goes back."""
    with folder.lock():
        kept = read_rounds(folder)
        most = {key: max(n, kept.get(key, 0)) for key, n in num_rounds.items()}
        write_json(folder.path / ROUNDS, {GOES_ON: kept | most})


def is_decided(folder: Folder) -> bool:
    """Whether the last look at the present tables left nothing open: then no process has to be asked again."""
    said = _read(folder.path).get(DECIDED)
    return said is not None and said == folder.stamp()["of"]


def set_decided(folder: Folder) -> None:
    """Keep that the present tables leave nothing open."""
    with folder.lock():
        write_json(folder.path / ROUNDS, {GOES_ON: read_rounds(folder), DECIDED: folder.stamp()["of"]})


def _read(folder: Path) -> dict[str, Any]:
    try:
        said = json.loads((folder / ROUNDS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
