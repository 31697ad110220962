"""plan.json: what is planned in words, and all its cells, one a line, so that any number is written without a copy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ampbench.bench.store.atomic import replacing

SOURCE = "source"


def write_plan_file(path: Path, head: Mapping[str, Any], lists: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Write it: `head` first, a line a key, and then the lists, a line an entry, of which one is held at a time."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head, indent=1).removesuffix("\n}"))
        for key, entries in lists.items():
            file.write(f",\n {json.dumps(key)}: [")
            for number, entry in enumerate(entries):
                file.write((",\n  " if number else "\n  ") + json.dumps(entry))
            file.write("\n ]")
        file.write("\n}\n")


def source_in(path: Path) -> str | None:
    """Return the experiment file that a plan.json names, without reading its cells; None if there is no such file.

    A string of JSON has no line break, so a line that begins like the key is the key.
    """
    begin = f' "{SOURCE}": '
    try:
        with path.open(encoding="utf-8") as file:
            line = next((line for line in file if line.startswith(begin)), "null")
        said = json.loads(line.removeprefix(begin).rstrip().removesuffix(","))
        return said if isinstance(said, str) else None
    except (OSError, ValueError, RecursionError):
        return None
