"""How a cell may end. A cell that failed is a row like any other, with the reason beside it."""

from __future__ import annotations

import typing
from typing import Literal

Status = Literal["ok", "oom", "diverged", "timeout", "unsupported", "throttled", "crashed", "failed", "excluded"]

STATUSES: tuple[Status, ...] = typing.get_args(Status)
