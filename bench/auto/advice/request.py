"""What a person asks of an advice: a network, images, minutes, and the values that are not to be touched."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.model_args import split_model
from ampbench.bench.store.atomic import write_json

REQUEST = "request.json"
"""In the folder of an advice."""
PREFIX = "advise-"
MAX_CHARACTERS = 60
"""Of a model in the name of a folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One question: how should this network be trained on this machine?"""

    model: str
    data: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of a cell that the person set, as an experiment file writes them; they are never chosen."""
    recipes: tuple[str, ...] = ()
    """To be compared; empty means those that make sense on the machine."""
    minutes: float = 10.0
    want: str = "speed"
    max_memory_bytes: int | None = None
    """No batch size and recipe that needs more is advised."""
    epochs: int | None = None
    """Of the training that the person has in mind, for its hours."""
    exclusive: bool = False
    """Whether no other cell may be at work on the machine meanwhile; rows of both settings are not compared."""

    @property
    def folder_name(self) -> str:
        """As in `advise-ResNet18`, by the last part of the model's name."""
        own, arguments = split_model(self.model)
        name = "-".join([re.split(r"[:/]", own)[-1], *(f"{key}{value}" for key, value in arguments.items())])
        return PREFIX + re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[-MAX_CHARACTERS:]

    @property
    def identity(self) -> dict[str, Any]:
        """What the numbers depend on, in plain JSON types. Minutes, wishes and epochs may change from call to call."""
        plain = {key: value for key, value in asdict(self).items() if key not in ("minutes", "want", "epochs")}
        if not self.exclusive:
            del plain["exclusive"]  # older folders lack it
        return json.loads(json.dumps(plain))  # type: ignore[no-any-return]

    def keep(self, folder: Path) -> None:
        """Write the request into its folder, where later calls go on.

        Raises:
            RequestError: the folder holds the advice on another question.
        """
        path = folder / REQUEST
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(path, self.identity)
            return
        except NotADirectoryError:
            raise RequestError(f"{folder} lies in a file; give --results DIR, a folder") from None
        except (OSError, ValueError) as e:
            raise RequestError(f"{path}: cannot be read ({e}); delete {folder} to begin again") from None
        if known != self.identity:
            raise RequestError(
                f"{folder} holds the advice on another question ({_difference(known, self.identity)}); give "
                "--results DIR for a place of its own, or delete the folder"
            )


def _difference(known: Any, asked: Mapping[str, Any]) -> str:
    """Say in which value two questions differ first."""
    known = known if isinstance(known, dict) else {}
    flat_known, flat_asked = _flat(known), _flat(asked)
    for key in dict.fromkeys([*flat_known, *flat_asked]):
        if flat_known.get(key) != flat_asked.get(key):
            return f"its {key} is {_word(flat_known.get(key))}, here {_word(flat_asked.get(key))}"
    return "it was written by another version"


def _flat(plain: Mapping[str, Any]) -> dict[str, Any]:
    fixed = plain.get("fixed")
    return {key: value for key, value in plain.items() if key != "fixed"} | (fixed if isinstance(fixed, dict) else {})


def _word(value: Any) -> str:
    return "not given" if value in (None, []) else str(value)
