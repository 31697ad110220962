"""Tables and paragraphs for a terminal of any width, in which no number is ever cut.

Columns that do not fit go into a further table below, whose rows begin with the same keys. If the keys and one column
do not fit either, they are folded between words. If a word would be cut, each row is written with one value per line.
Only a name that is longer than a line goes on in the next.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

APART = 2
"""Characters between two columns of the table."""
TIGHT = 1
EDGE = 1
"""Characters to the left of the table."""
MORE = ", continued"
WORD = re.compile(r"\[[-+\d., >x%]*\]\S*|\S+ ± \S+|\S+")
"""What is never folded: a word, an interval in its brackets, a number with its spread."""
LONG = 30
"""Characters up to which a word is never cut, however narrow the terminal."""


UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a name may hold that would move the cursor, colour the terminal or turn the direction of its text."""


def draw(
    rows: Sequence[Mapping[str, str]],
    width: int,
    *,
    title: str = "",
    heads: Sequence[str] | None = None,
    keys: Sequence[str] = (),
    left: Collection[str] = (),
    sections: Collection[int] = (),
) -> str:
    """Return rows of words as lines of at most `width`, longer only where a single word is.

    Args:
        rows: head of a column -> words; all rows have the same heads.
        width: columns of the terminal.
        title: written above the table.
        heads: the columns to show, in this order; by default all.
        keys: heads that say what a row is about; every further table begins with them.
        left: heads of the columns that are aligned left.
        sections: numbers of the rows that are followed by a line.
    """
    rows = [{name: printable(words) for name, words in row.items()} for row in rows]
    names = list(heads if heads is not None else rows[0])
    keys = [name for name in names if name in keys]
    rest = [name for name in names if name not in keys] or keys
    keys = [] if rest == keys else keys
    drawn: list[str] = []
    while rest:
        layouts = ((n, _layout([*keys, *rest[:n]], rows, width)) for n in range(len(rest), 0, -1))
        taken, layout = next(((n, found) for n, found in layouts if found), (1, None))
        layout = layout or _folding([*keys, rest[0]], rows, width)
        if layout is None:
            drawn.append(_down_the_page([*keys, *rest], rows, width, title))
            break
        drawn.append(fold(title, width) + "\n" * bool(title) + _across(layout, rows, left, sections))
        rest, title = rest[taken:], f"{title.removesuffix(MORE)}{MORE}" if title else ""
    return "\n".join(drawn)


class Layout(NamedTuple):
    """How the columns of a table share a line."""

    widths: dict[str, int]
    """Head -> characters."""
    apart: int
    """Characters between two columns."""


def _layout(names: Sequence[str], rows: Sequence[Mapping[str, str]], width: int) -> Layout | None:
    """Return the widest layout that fits and folds only heads; None if there is none."""
    whole = {name: max((cell_len(row[name]) for row in rows), default=0) for name in names}
    for apart, of_head in ((APART, cell_len), (TIGHT, cell_len), (APART, _longest_word)):
        widths = {name: max(whole[name], of_head(name)) for name in names}
        if EDGE + sum(widths.values()) + apart * (len(names) - 1) <= width:
            return Layout(widths, apart)
    return None


def _folding(names: Sequence[str], rows: Sequence[Mapping[str, str]], width: int) -> Layout | None:
    """Return a layout that folds as few columns as possible between words; None if a word would be cut."""
    words = {name: max(_longest_word(text) for text in (name, *(row[name] for row in rows))) for name in names}
    whole = {name: max(words[name], *(cell_len(row[name]) for row in rows)) for name in names}
    spare = width - EDGE - TIGHT * (len(names) - 1) - sum(words.values())
    if spare < 0:
        return None
    for name in sorted(
        names, key=lambda name: whole[name] - words[name]
    ):  # first the columns that need the fewest characters more
        if whole[name] - words[name] <= spare:
            spare -= whole[name] - words[name]
            words[name] = whole[name]
    return Layout(words, TIGHT)


def _longest_word(text: str) -> int:
    return max(map(cell_len, WORD.findall(text)), default=0)


def printable(text: str) -> str:
    """Return a text with a question mark for each character that would do something to a terminal."""
    return UNPRINTABLE.sub("?", text)


def _chopped(word: str, room: int) -> list[str]:
    """Cut a word into parts of at most `room` cells: how wide a character is may depend on the one before it."""
    parts = [""]
    for character in word if cell_len(word) > room else ():
        if cell_len(parts[-1] + character) > room:
            parts.append("")
        parts[-1] += character
    return parts if parts[-1] else [word]


def fold(text: str, width: int, indent: str = "") -> str:
    """Fold a text between words into lines of at most `width`; the first begins as it does, the others with `indent`.

    An interval and a number with its spread stay on one line, a word longer than a line goes on in the next.
    """
    text = printable(text)
    begin = text[: len(text) - len(text.lstrip(" "))]
    room = max(width - max(len(begin), len(indent)), LONG)
    words = [part for word in WORD.findall(text) for part in _chopped(word, room)]
    lines: list[str] = []
    for word in words:
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append((indent if lines else begin) + word)
    return "\n".join(lines)


def _across(
    layout: Layout,
    rows: Sequence[Mapping[str, str]],
    left: Collection[str],
    sections: Collection[int],
) -> str:
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, layout.apart - 1, 0, 0),
    )
    for name, width in layout.widths.items():
        table.add_column(fold(name, width), justify="left" if name in left else "right", no_wrap=True)
    for i, row in enumerate(rows):
        table.add_row(*(fold(row[name], width) for name, width in layout.widths.items()), end_section=i in sections)
    out = io.StringIO()
    Console(file=out, width=10_000, color_system=None, markup=False, force_jupyter=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


def _down_the_page(names: Sequence[str], rows: Sequence[Mapping[str, str]], width: int, title: str) -> str:
    margin = max(map(cell_len, names)) + APART
    lines = [title] if title else []
    for row in rows:
        lines += [""] if lines else []
        for name in names:
            folded = fold(row[name], max(1, width - margin)).split("\n")
            lines += [f"{name if i == 0 else '':{margin}}{words}" for i, words in enumerate(folded)]
    return "\n".join(line.rstrip() for line in lines) + "\n"
