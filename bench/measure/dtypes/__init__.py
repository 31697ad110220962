"""The dtypes in which matrix products and convolutions really ran: checked, not taken from the recipe's name.

Four checks, because each misses something:

    operators   a dispatch mode sees every operator below autocast, with the inputs that the kernel gets; it does not
                see other threads
    layers      a hook on every layer that multiplies sees the dtype of its output, in whichever thread it runs; for a
                recurrent layer, whose output shows less, the dtype to which autocast casts its weights there
    errors      the rounding error of a matrix product and a convolution distinguishes TF32 (2^-11) from IEEE fp32
                (2^-24), whatever the switches say
    kernels     on CUDA, the names of the kernels that ran (bench/measure/kernels.py)
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode

from ampbench.bench.measure.dtypes.kept_layers import KeptLayers

OPERATORS = (
    *("convolution", "mm", "addmm", "bmm", "baddbmm", "_scaled_dot_product", "_scaled_mm"),
    # A whole recurrent layer in one operator; the others consist of the operators above.
    *("mkldnn_rnn_layer", "_cudnn_rnn", "miopen_rnn"),
)
"""Names, or beginnings of names, of aten operators that multiply matrices."""

RECURRENT = (nn.RNNBase, nn.RNNCellBase)
"""Layers whose output may be fp32 where their matrix products are not: a hidden state that starts in fp32 stays so."""

MULTIPLYING = (_ConvNd, nn.Linear, nn.Bilinear, nn.MultiheadAttention, *RECURRENT)
"""Layers that multiply, with whatever operators."""

BESIDE = {"float32", "float64", "complex64", "complex128"}
"""Dtypes that autocast casts from fp32 alone or not at all: the model itself chose a product in one of them."""

OWN_CASTS = "leave all dtypes to the recipe: take autocast, .half() and .bfloat16() out of the model"
"""What to do where a model multiplies in another dtype than its recipe."""

MOST_LAYERS = 3
"""Most layers that a message names."""

IEEE_ERROR = 2.0**-16
"""Between the error of a matrix product in fp32, about 2^-22, and in TF32, about 2^-11, or in bf16, about 2^-8."""


class DtypeCheck:
    """Context around one training step that records the dtypes of matrix products and convolutions."""

    def __init__(self, model: nn.Module, kept: Mapping[str, nn.Module] | None = None) -> None:
        self.model = model
        self.kept = KeptLayers(kept or {})
        """The layers that the recipe keeps in fp32; what follows is of all others."""
        self.operators: Counter[tuple[str, str]] = Counter()
        """(operator, dtype of its inputs) -> calls."""
        self.layers: dict[str, str] = {}
        """Layer that multiplies -> dtype of its output, or of a recurrent layer's matrix products."""
        self.recurrent: set[str] = set()
        """Those of them that are recurrent."""
        self.in_threads: set[str] = set()
        """Those that ran in a thread of the model's, where autocast is off unless it is entered there too."""
        self._mode = _Recorder(self.operators, self.kept)
        self._handles: list[Any] = []

    def __enter__(self) -> DtypeCheck:
        self._handles += self.kept.watch(self.model, MULTIPLYING)
        kept = self.kept.inside
        for name, module in self.model.named_modules():
            if isinstance(module, MULTIPLYING) and id(module) not in kept:
                self._handles.append(module.register_forward_hook(self._witness(name)))
        self._mode.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mode.__exit__(kind, error, trace)
        for handle in self._handles:
            handle.remove()

    def __str__(self) -> str:
        seen = [f"{operator}:{dtype}x{n}" for (operator, dtype), n in sorted(self.operators.items())]
        layers = Counter(dtype for name, dtype in self.layers.items() if name not in self.recurrent)
        seen += [f"layers:{dtype}x{n}" for dtype, n in sorted(layers.items())]
        by_dtype: dict[str, list[str]] = {}
        for name in sorted(self.recurrent):
            by_dtype.setdefault(self.layers[name], []).append(name)
        seen += [f"recurrent:{dtype}x{len(names)}({','.join(names)})" for dtype, names in sorted(by_dtype.items())]
        return " ".join([*seen, *self.kept.words])

    def contradicts(self, compute: torch.dtype, *, fp8: bool = False) -> str | None:
        """Return in words how the dtypes that ran contradict the recipe, or None.

        With `fp8` some of the matrix products must have run in fp8, with 8-bit numbers on both sides.

        These are contradictions: no matrix product or convolution ran in the recipe's dtype; one ran in a 16-bit dtype
        that the recipe does not name; one ran in fp32 in a thread that the model started, where autocast was not
        disabled but lost. Other fp32 is allowed: autocast keeps some operators in fp32 by its policy (a product of
        attention, for example), and a loss or a model may disable autocast for a region on purpose. float64 and complex
        numbers are allowed too: no recipe casts to them, so the model itself chose them. Of the layers that the recipe
        keeps in fp32, it is a contradiction that one ran in 16 bit, and that none of them ran.
        """
        wanted = _short(compute)
        if broken := self.kept.contradict(BESIDE):
            return broken
        lost = [name for name in sorted(self.in_threads) if self.layers[name] not in {wanted, *(BESIDE - {"float32"})}]
        if lost:
            return (
                f"{lost[0]} ran in {self.layers[lost[0]]} and not in the recipe's {wanted}, in a thread that the model "
                "starts: autocast holds for one thread and has to be entered there again"
            )
        dtypes = {dtype for _, dtype in self.operators} | set(self.layers.values())
        ran = ", ".join(sorted(dtypes))
        if dtypes and wanted not in dtypes:
            return f"the recipe computes in {wanted}, but matrix products and convolutions ran in {ran}; {OWN_CASTS}"
        eighths = {dtype for dtype in dtypes if dtype.startswith("float8")} if fp8 else set()
        if fp8 and not eighths:
            return f"the recipe multiplies in fp8, but matrix products and convolutions ran in {ran}"
        foreign = dtypes - eighths - {wanted, *BESIDE}
        if not foreign:
            return None
        which = [name for name, dtype in self.layers.items() if dtype in foreign]
        named = f" ({', '.join(which[:MOST_LAYERS])}{', …' if which[MOST_LAYERS:] else ''})" if which else ""
        ran = f"{', '.join(sorted(foreign))}{named}"
        return f"matrix products or convolutions ran in {ran} under a recipe of {wanted}; {OWN_CASTS}"

    def _witness(self, name: str) -> Any:
        def see(module: nn.Module, _inputs: Any, output: Any) -> None:
            layer, first = name or "the model", output
            while isinstance(first, tuple) and first:
                first = first[0]
            if isinstance(module, RECURRENT):
                self.layers[layer] = _short(_autocast_dtype(next(module.parameters())))
                self.recurrent.add(layer)
            elif isinstance(first, Tensor):
                self.layers[layer] = _short(first.dtype)
            else:
                return
            if threading.current_thread() is not threading.main_thread():
                self.in_threads.add(layer)

        return see


class _Recorder(TorchDispatchMode):
    def __init__(self, seen: Counter[tuple[str, str]], kept: KeptLayers) -> None:
        super().__init__()
        self.seen = seen
        self.kept = kept

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        if name.startswith(OPERATORS):
            for dtype in {_stored(a) for a in args if isinstance(a, Tensor) and a.is_floating_point()}:
                (self.kept.operators if self.kept.depth else self.seen)[name, _short(dtype)] += 1
        return func(*args, **(kwargs or {}))


def fp32_errors(device: torch.device) -> dict[str, float]:
    """Measure the relative error of a matrix product and of a convolution of fp32 random numbers, against float64.

    The error is the largest difference over the largest result. torch's own random state is not changed.
    """
    drawn = partial(torch.randn, generator=torch.Generator().manual_seed(0), dtype=torch.float32, device="cpu")
    a, b = drawn(2, 256, 256)
    x_NCHW, w_OIHW = drawn(8, 64, 16, 16), drawn(64, 64, 3, 3)
    return {
        "matmul": _error(a.to(device) @ b.to(device), a.double() @ b.double()),
        "conv": _error(F.conv2d(x_NCHW.to(device), w_OIHW.to(device)), F.conv2d(x_NCHW.double(), w_OIHW.double())),
    }


def errors_contradict(errors: Mapping[str, float], *, tf32: bool) -> str | None:
    """Return in words how the errors contradict a recipe that computes in fp32 or TF32, or None.

    A small product may run in IEEE fp32 where TF32 is allowed, so only large errors under fp32 are a contradiction.
    """
    wrong = [f"{name} {error:.1e}" for name, error in errors.items() if error > IEEE_ERROR]
    if tf32 or not wrong:
        return None
    found = f"matrix products or convolutions in fp32 had errors as large as those of TF32 or bf16 ({', '.join(wrong)})"
    return f"{found}: something switched it on"


def _error(result: Tensor, exact: Tensor) -> float:
    return float((result.double().cpu() - exact).abs().max() / exact.abs().max())


def _stored(x: Tensor) -> torch.dtype:
    """Return the dtype of the numbers that a product gets: torchao's fp8 tensors report another one."""
    return getattr(x, "_data", x).dtype


def _autocast_dtype(weight: Tensor) -> torch.dtype:
    """Return the dtype in which matrix products with a weight run in this thread."""
    kind = weight.device.type
    cast = weight.dtype in (torch.float32, torch.float16, torch.bfloat16) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if cast else weight.dtype


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
