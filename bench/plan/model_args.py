"""`model_args`: arguments of a network itself, a table in an experiment file, a line of JSON everywhere else.

    model_args = {hidden_dropout_prob = 0.1, attention_dropout_prob = 0.1}

As text it is hashable, a column, and the same whatever the order of its keys. A model's name may hold them too, after
a colon: `model = "PowerCifarNet:width=1.7,dropout=0.4"` is `PowerCifarNet` with that `model_args`, the same cell.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator


def as_text(table: Any) -> str | None:
    """Return a table of arguments as JSON with sorted keys; None for an empty one.

    Raises:
        ValueError: it is no table, a key is no name of an argument, or a value is nothing that JSON holds.
    """
    if not isinstance(table, dict):
        raise ValueError("is no table of arguments; write it as {dropout = 0.1}")
    for key, value in table.items():
        if not re.fullmatch(r"[^\W\d]\w*", key):
            raise ValueError(f"has the key {key!r}, which is no name of an argument; write it as {{dropout = 0.1}}")
        if not all(map(_is_plain, value if isinstance(value, list) else [value])):
            raise ValueError(
                f"sets {key} to {value!r}; it should be a number, a word, true or false, or a list of these"
            )
    return json.dumps(table, sort_keys=True) if table else None


def as_arguments(text: str | None) -> dict[str, Any]:
    """Return the arguments that `as_text` wrote."""
    return json.loads(text) if text else {}


SETTING = r"[^\W\d]\w*=[^,=]+"
WITH_SETTINGS = re.compile(rf"(?P<model>.+):(?P<settings>{SETTING}(,{SETTING})*)", re.DOTALL)


def split_model(name: str) -> tuple[str, dict[str, Any]]:
    """Return a model's name without the arguments after its last colon, and these; none if there are none.

    Raises:
        ValueError: an argument comes twice.
    """
    found = WITH_SETTINGS.fullmatch(name)
    if not found or Path(name.partition(":")[2]).expanduser().exists():  # a folder of `hf:` may be called anything
        return name, {}
    pairs = [setting.strip().split("=") for setting in found["settings"].split(",")]
    arguments = {key: _typed(value) for key, value in pairs}
    if len(arguments) < len(pairs):
        raise ValueError("names an argument twice; drop one of them")
    return found["model"], arguments


def _typed(text: str) -> Any:
    """Return what was typed as a number, true or false; anything else is a word."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, str, int)) or (isinstance(value, float) and math.isfinite(value))


ModelArgs = Annotated[str | None, BeforeValidator(as_text)]
