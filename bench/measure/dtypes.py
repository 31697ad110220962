"""Which dtypes the products and convolutions really ran in: a proof, not a label.

A dispatch mode sees every operator below autocast, with the inputs that the kernel gets.
"""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

OPERATORS = ("convolution", "mm", "addmm", "bmm", "baddbmm", "_scaled_dot_product", "_scaled_mm")
"""Names, or beginnings of names, of aten operators that multiply matrices."""


class DtypeProof:
    """Context around one training step that counts the input dtypes of products and convolutions."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self._mode = _Recorder(self.seen)

    def __enter__(self) -> DtypeProof:
        self._mode.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mode.__exit__(kind, error, trace)

    def __str__(self) -> str:
        return " ".join(f"{operator}:{dtype}x{n}" for (operator, dtype), n in sorted(self.seen.items()))

    def contradicts(self, compute: torch.dtype) -> str | None:
        """Return in words how what ran differs from what the recipe says, or None.

        Autocast keeps some operators in fp32 by its policy, so "any fp32" is no contradiction; that none of
        the products ran in the recipe's dtype is, and so is a 16-bit dtype that the recipe does not name.
        """
        wanted = str(compute).removeprefix("torch.")
        dtypes = {dtype for _, dtype in self.seen}
        if dtypes and wanted not in dtypes:
            return f"the recipe computes in {wanted}, but the products ran in {', '.join(sorted(dtypes))}"
        foreign = dtypes - {wanted, "float32"}
        return f"products ran in {', '.join(sorted(foreign))} under a recipe of {wanted}" if foreign else None


class _Recorder(TorchDispatchMode):
    def __init__(self, seen: Counter[tuple[str, str]]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        if name.startswith(OPERATORS):
            dtypes = {a.dtype for a in args if isinstance(a, Tensor) and a.is_floating_point()}
            for dtype in dtypes:
                self.seen[name, str(dtype).removeprefix("torch.")] += 1
        return func(*args, **(kwargs or {}))
