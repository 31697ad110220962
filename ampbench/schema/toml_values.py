"""Keys and values as TOML writes them, in experiment files that a program writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
