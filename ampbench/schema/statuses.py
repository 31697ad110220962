"""How a cell may end. A cell that failed has a row like any other cell, with the reason in `because`."""

from __future__ import annotations

import typing
from typing import Literal

Status = Literal[
    "ok", "oom", "diverged", "timeout", "unsupported", "throttled", "pruned", "crashed", "failed", "excluded"
]
"""`pruned`: a trial of a search that fell behind the earlier ones, and was ended for that."""

STATUSES: tuple[Status, ...] = typing.get_args(Status)
