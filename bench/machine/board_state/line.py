"""A sample as a line of text, in which the sampling process sends it to the worker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, fields
from typing import Any

from ampbench.schema.board import BoardSample

FIELDS = tuple(field.name for field in fields(BoardSample))
"""Fields in the order of a line."""


def encoded(sample: BoardSample) -> str:
    """Return the line of a sample: a list of the values of its fields, as JSON."""
    return json.dumps(astuple(sample)) + "\n"


def decoded(values: Sequence[Any]) -> BoardSample:
    """Return the sample that a line holds, its JSON parsed."""
    return BoardSample(**dict(zip(FIELDS, values, strict=True)))
