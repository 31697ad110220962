"""The fields of a cell, of `[measure]` and of `[budget]` as flags of a command line, made from the fields themselves.

    learning_rate  ->  --learning-rate, --lr        drop_last  ->  --drop-last / --no-drop-last

What is typed becomes the line of an experiment file, so that a flag is checked by the same rules; what is wrong with it
is said in the words that were typed.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import json
import re
import tomllib
import typing
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ampbench.bench.plan.cell import TABLE_FIELDS, Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol

Kind = Literal["switch", "integer", "number", "list", "table", "text"]

TABLES = {"fixed": Cell, "measure": MeasurementProtocol, "budget": Budget}

WORDS = {
    "learning_rate": ("--learning-rate", "--lr"),
    "evaluate_every": ("--evaluate-every", "--eval-interval"),
    "gpus": ("--gpus-per-cell",),
    "loss_scale": ("--scale",),
}
"""Of fields whose flag is not their name with dashes: `--gpus` says which boards, `--loss-scale` is study S3's."""

LEFT_OUT = ("round",)

HEADINGS = {
    "model": "Network and data",
    "seed": "Training",
    "image_size": "Images",
    "channels_last": "How torch computes",
    "target_ci": "Measurement",
    "minutes_per_cell": "Limits",
}
"""Field -> the heading of it and of those below it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """One field as a flag."""

    name: str
    """Of the field."""
    table: str
    """Of the experiment file."""
    words: tuple[str, ...]
    """As it is typed, the first one in messages."""
    kind: Kind
    choices: tuple[str, ...]
    """Of a word that must be one of these."""
    heading: str
    """In --help."""
    help: str
    """The first sentence of the field's docstring."""
    default: Any
    """`dataclasses.MISSING` where there is none."""

    def line(self, value: Any) -> str:
        """Return what was typed as a line of the experiment file."""
        return f"{self.name} = {_toml(self.words[0], self.kind, value)}"


@functools.cache
def flags() -> dict[str, Flag]:
    """Return field -> flag, of everything that decides what a cell is, how it is measured and when it is stopped."""
    return {flag.name: flag for table, kind in TABLES.items() for flag in _flags_of(table, kind)}


def value_typed(name: str, typed: Any) -> Any:
    """Return what was typed for a field as the value that an experiment file would hold; not checked yet."""
    return tomllib.loads(flags()[name].line(typed))[name]


def in_words_typed(message: str) -> str:
    """Turn a message about fields of a file into one about flags."""
    message = re.sub(r"^.*?\.py, (?=\[)", "", message)
    message = re.sub(r"^\[\w+\] precision = '(\w+)'", r"--precision \1", message)
    message = re.sub(r"^\[\w+\] precision: ", "--precision: ", message)
    for name, flag in flags().items():
        word = flag.words[0]
        message = re.sub(rf"^\[\w+\] {name}\b( =)?", word, message)
        message = re.sub(rf"\b{name} = false\b", word.replace("--", "--no-", 1), message)
        message = re.sub(rf"\b{name} = true\b", word, message)
        message = re.sub(rf"\b{name} = (?=[\w'.\[-])", f"{word} ", message)
        if "_" in name:
            message = re.sub(rf"(?<![-\w.]){name}\b", word, message)
    return message


def _flags_of(table: str, kind: type) -> Iterator[Flag]:
    hints, words, heading = typing.get_type_hints(kind), _docstrings(kind), ""
    for f in dataclasses.fields(kind):
        heading = HEADINGS.get(f.name, heading)
        if f.name not in (*LEFT_OUT, "precision"):
            yield Flag(
                name=f.name,
                table=table,
                words=WORDS.get(f.name, ("--" + f.name.replace("_", "-"),)),
                kind=_kind_of(f.name, hints[f.name]),
                choices=typing.get_args(hints[f.name]) if typing.get_origin(hints[f.name]) is Literal else (),
                heading=heading,
                help=words.get(f.name, ""),
                default=f.default,
            )


def _kind_of(name: str, hint: Any) -> Kind:
    if name in TABLE_FIELDS:
        return "table"
    if typing.get_origin(hint) is tuple:
        return "list"
    kinds: dict[Any, Kind] = {bool: "switch", int: "integer", float: "number"}
    known = (kinds[part] for part in (hint, *typing.get_args(hint)) if part in kinds)
    return next(known, "text")


def _docstrings(kind: type) -> dict[str, str]:
    """Return field -> the first sentence below it, which Python itself keeps nowhere."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = " ".join(str(ast.literal_eval(below.value)).split())
            found[field.target.id] = re.split(r"(?<=[.;]) ", text)[0].rstrip(".;").replace("`", "")
    return found


def _toml(word: str, kind: Kind, value: Any) -> str:
    if kind == "switch":
        return str(value).lower()
    if kind == "list":
        return f"[{', '.join(map(_scalar, _parts(value)))}]"
    if kind == "table":
        pairs = [part.partition("=") for part in _settings(value)]
        twice = [key for key, count in Counter(key.strip() for key, _, _ in pairs).items() if count > 1]
        if twice:
            raise RequestError(f"{word}: {value!r} says {twice[0]} twice; drop one of them")
        return "{" + ", ".join(f"{json.dumps(key.strip())} = {_scalar(text.strip())}" for key, _, text in pairs) + "}"
    return json.dumps(value, ensure_ascii=False) if kind == "text" else _scalar(value)


def _parts(text: str) -> list[str]:
    """Split at commas, but keep the settings of a part together: `flip,jitter:hue=.1,contrast=.1` are two."""
    if text in ("", "none"):
        return []
    parts: list[str] = []
    for word in text.split(","):
        if parts and ":" in parts[-1] and "=" in word and ":" not in word:
            parts[-1] += f",{word}"
        else:
            parts.append(word.strip())
    return parts


def _settings(text: str) -> list[str]:
    """Split `A=1,B=x:1,y:2` into its settings: a part without an equals sign belongs to the value before it."""
    found: list[str] = []
    for part in [] if text in ("", "none") else text.split(","):
        if found and "=" not in part:
            found[-1] += f",{part}"
        else:
            found.append(part.strip())
    return found


def _scalar(text: str) -> str:
    """Return a number as a number, true and false as they are, and everything else in quotes."""
    if text in ("true", "false"):
        return text
    for number in (int, float):
        try:
            return repr(number(text))
        except ValueError:
            continue
    return json.dumps(text, ensure_ascii=False)


def file_of(question: str, typed: Mapping[str, Any], precision: str) -> str:
    """Return the experiment file of one cell.

    Args:
        question: that it asks.
        typed: field -> what was typed; None where nothing was.
        precision: the recipe's name.
    """
    lines: dict[str, list[str]] = {table: [] for table in TABLES}
    lines["fixed"].append(f"precision = {json.dumps(precision)}")
    for name, value in typed.items():
        if value is not None:
            lines[flags()[name].table].append(flags()[name].line(value))
    tables = [f"[{table}]\n" + "\n".join(own) for table, own in lines.items() if own]
    return "\n\n".join([f"question = {json.dumps(question)}", *tables]) + "\n"
