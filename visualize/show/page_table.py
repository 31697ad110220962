"""A table of the page: its rows as compact JSON, which the script sorts, filters and draws a part at a time.

A page of 10,000 rows as markup would take 10 MB and seconds to open. The first rows are markup all the same, for
readers without a script; the script replaces them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

MOST_PLAIN = 50
"""Rows that are markup too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageTable:
    """A table that can be sorted and filtered by column."""

    name: str
    """Its id on the page."""
    title: str
    """Empty where a heading says it already."""
    heads: list[str]
    words: tuple[str, ...]
    """Columns of words, which are filtered by choice; all others are numbers."""
    lines: Sequence[Mapping[str, str]]
    """Rows: head of a column -> what is shown."""
    legend: str = ""
    colours: Mapping[str, str] | None = None
    """Recipe -> its colour; also the order by which recipes are sorted. None without a swatch."""
    commands: Sequence[str] = ()
    """What measures each row again; empty if no row has one."""

    @property
    def plain(self) -> Sequence[Mapping[str, str]]:
        """The rows for readers without a script."""
        return self.lines[:MOST_PLAIN]

    @property
    def data(self) -> Markup:
        """The table for the script: `rows` hold what is shown, and a place in `values` for words."""
        columns: list[dict[str, Any]] = []
        places: dict[str, dict[str, int]] = {}
        for head in self.heads:
            column: dict[str, Any] = {"head": head}
            if head in self.words:
                known = dict.fromkeys(line[head] for line in self.lines)
                if head == "precision" and self.colours:
                    known = {name: None for name in self.colours if name in known} | known
                    column["colours"] = [self.colours.get(name) for name in known]
                column["values"] = list(known)
                places[head] = {value: i for i, value in enumerate(known)}
            columns.append(column)
        rows = [
            [places[head][line[head]] if head in places else line[head] for head in self.heads] for line in self.lines
        ]
        return inlined({"columns": columns, "rows": rows, "commands": list(self.commands)})


def inlined(data: object) -> Markup:
    """Return data as JSON that may stand in a `<script>`: no text in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # the only character that could end the element
