"""The text of an experiment file, from a disk to a table of values and back; what is no TOML is refused in one line."""

from __future__ import annotations

import codecs
import tomllib
from pathlib import Path
from typing import Any

from ampbench.bench.plan.errors import RequestError, did_you_mean

MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
"""Bytes that an editor puts first -> the encoding."""


def text_of(path: Path) -> str:
    """Return the text of an experiment file, without the mark that some editors put before UTF-8.

    Raises:
        RequestError: it is not there, cannot be read, or is not UTF-8.
    """
    try:
        if path.is_dir():
            raise RequestError(f"{path}: is a folder; name the experiment file in it, as experiments/quickstart.toml")
        raw = path.read_bytes()
    except FileNotFoundError:
        places = ("*.toml", "experiments/*.toml")
        there = sorted(str(p) for place in places for p in path.parent.glob(place) if p.name != "pyproject.toml")
        near = did_you_mean(str(path), there) if there else "Ours are in experiments/."
        raise RequestError(f"{path}: no such file. {near}") from None
    except (OSError, ValueError) as e:
        if isinstance(e, RequestError):
            raise
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise RequestError(f"{path}: cannot be read ({reason}); mend its path or permissions") from None
    for mark, encoding in MARKS.items():
        if raw.startswith(mark):
            raise RequestError(f"{path}: is {encoding}; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise RequestError(f"{path}: is not UTF-8 (byte {e.start}); save it as UTF-8") from None


def table_of(text: str, path: Path) -> dict[str, Any]:
    """Return what a TOML text says.

    Raises:
        RequestError: it is no TOML, nests without end, or holds a number of thousands of digits.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise RequestError(f"{path}: is not TOML: {e}; mend that line (https://toml.io)") from None
    except RecursionError:
        raise too_deep(path) from None
    except ValueError as e:  # what Python's own numbers and dates refuse
        raise RequestError(f"{path}: holds a value that cannot be read ({e}); mend it") from None


def too_deep(path: Path) -> RequestError:
    """Return the refusal of lists and tables that nest too deeply."""
    return RequestError(f"{path}: nests lists or tables too deeply; no field takes more than a list of lists")
