"""Keys, values and tables as TOML writes them, in experiment files that a program writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def key_of(key: str) -> str:
    """Return a key as TOML writes it, in quotes where it must be."""
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else value_of(key)


def value_of(value: Any) -> str:
    """Return a value as TOML writes it; JSON's strings, numbers and lists are TOML's too."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key_of(key)} = {value_of(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_of, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def text_of_tables(question: str, tables: Mapping[str, Mapping[str, Any]], *, comments: Sequence[str] = ()) -> str:
    """Return the text of an experiment file that a program writes, for a person to read and to run again.

    Args:
        question: that it asks.
        tables: name -> key -> value, in this order; an empty table is left out.
        comments: lines at its head.
    """
    parts = [*(f"# {line}" for line in comments), *([""] if comments else [])]
    parts.append(f"question = {value_of(question)}")
    for name, table in tables.items():
        if table:
            parts += ["", f"[{name}]", *(f"{key_of(key)} = {value_of(value)}" for key, value in table.items())]
    return "\n".join(parts) + "\n"
