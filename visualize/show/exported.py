"""A table as it leaves for another program or for a paper: CSV, Markdown, LaTeX or JSON."""

from __future__ import annotations

import enum
import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from ampbench.schema.partial import partial_of

DIGITS = 4
"""Significant digits of a number in Markdown and LaTeX."""
ROWS_AT_ONCE = 100_000
"""Rows of CSV or JSON that are in memory as text."""
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "±": r"$\pm$", "→": r"$\to$", "×": r"$\times$",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip
"""Sign -> how LaTeX writes it."""


class Form(enum.StrEnum):
    """How a table is written."""

    CSV = "csv"
    MD = "md"
    LATEX = "latex"
    JSON = "json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """A table to be exported."""

    rows: pd.DataFrame
    units: Mapping[str, str]
    """Column -> its unit; none for words and pure numbers."""

    @property
    def heads(self) -> list[str]:
        """The columns with their units, as in `train_s (s)`."""
        return [f"{name} ({self.units[name]})" if name in self.units else str(name) for name in self.rows.columns]


def write(table: Exported, form: Form, out: Path | None) -> None:
    """Write a table to a file, completely or not at all, or to stdout.

    Raises:
        OSError: the file cannot be written.
    """
    with _stream(out) as stream:
        for text in _PIECES[form](table):
            stream.write(text)


@contextmanager
def _stream(out: Path | None) -> Iterator[IO[str]]:
    if out is None:
        yield sys.stdout
        return
    partial = partial_of(out)
    try:
        with partial.open("w", encoding="utf-8", errors="replace", newline="") as stream:
            yield stream
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _csv(table: Exported) -> Iterator[str]:
    """Yield the lines; a number is written with as many digits as it takes to read the same number again."""
    named = table.rows.set_axis(table.heads, axis="columns")
    for start in range(0, max(1, len(named)), ROWS_AT_ONCE):
        yield named.iloc[start : start + ROWS_AT_ONCE].to_csv(index=False, header=start == 0)


def _json(table: Exported) -> Iterator[str]:
    """Yield a list of records, one a line; NaN and infinity, which JSON does not have, are null."""
    yield "["
    named, between = table.rows.set_axis(table.heads, axis="columns"), "\n"
    for start in range(0, len(named), ROWS_AT_ONCE):
        for record in named.iloc[start : start + ROWS_AT_ONCE].to_dict("records"):
            plain = {str(head): _plain(value) for head, value in record.items()}
            yield between + json.dumps(plain, ensure_ascii=False, allow_nan=False)
            between = ",\n"
    yield "\n]\n"


def _plain(value: object) -> object:
    """Return a value as JSON has it."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if isinstance(value, pd.Timestamp) else str(value)


def _markdown(table: Exported) -> Iterator[str]:
    yield _row([_md(head) for head in table.heads])
    yield _row(["---:" if _is_number(table.rows[name]) else ":---" for name in table.rows.columns])
    for values in table.rows.itertuples(index=False):
        yield _row([_md(_rounded(value)) for value in values])


def _row(words: list[str]) -> str:
    return f"| {' | '.join(words)} |\n"


def _md(words: str) -> str:
    return " ".join(words.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _latex(table: Exported) -> Iterator[str]:
    """Yield a table of the package booktabs."""
    columns = "".join("r" if _is_number(table.rows[name]) else "l" for name in table.rows.columns)
    yield f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
    yield " & ".join(map(_tex, table.heads)) + " \\\\\n\\midrule\n"
    for values in table.rows.itertuples(index=False):
        yield " & ".join(_tex(_rounded(value)) for value in values) + " \\\\\n"
    yield "\\bottomrule\n\\end{tabular}\n"


def _tex(words: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in " ".join(words.split()))


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _rounded(value: object) -> str:
    """Return a value in words: a number with `DIGITS` significant digits, a dash where nothing is known."""
    value = _plain(value)
    if value is None:
        return "–"
    if isinstance(value, float):
        size = math.floor(math.log10(abs(value))) if value else 0
        if -DIGITS < size < 2 * DIGITS:
            return f"{value:.{max(0, DIGITS - 1 - size)}f}"
        return f"{value:.{DIGITS - 1}e}"
    return str(value)


_PIECES = {Form.CSV: _csv, Form.MD: _markdown, Form.LATEX: _latex, Form.JSON: _json}
