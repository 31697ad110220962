"""NVML, the library of NVIDIA's driver that reports on its boards. Only this file imports and opens it.

    with Nvml() as nvml:
        board = nvml.handle_of("GPU-5f2a…")
        nvml.ask("nvmlDeviceGetPowerUsage", board)

A machine may lack pynvml, the driver, the board or the function. This file alone decides what happens then:
`Unavailable` where nothing can be asked, `Unanswered` where one question has no answer. NVML ignores
CUDA_VISIBLE_DEVICES and creates no CUDA context.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any, Self

MODULE = "pynvml"
"""The Python bindings, from the distribution nvidia-ml-py; imported only when NVML is opened."""

# NVML API reference, nvmlReturn_t.
FINAL = {
    2: "NVML_ERROR_INVALID_ARGUMENT",
    3: "NVML_ERROR_NOT_SUPPORTED",
    4: "NVML_ERROR_NO_PERMISSION",
    13: "NVML_ERROR_FUNCTION_NOT_FOUND",
}
"""Errors that will not change while the process lives. After any other error the question may be asked again."""


class Unavailable(Exception):
    """NVML cannot be asked at all, or not about this board; the message says why."""


class NotInstalled(Unavailable):
    """pynvml is not installed; there may still be a driver."""


class Unanswered(Exception):
    """NVML did not answer one question; the message is NVML's."""

    def __init__(self, error: Exception, *, is_final: bool) -> None:
        super().__init__(str(error))
        self.error = error
        """The exception that pynvml raised."""
        self.is_final = is_final
        """Whether asking again is useless."""


class Nvml:
    """An open NVML, until `close` or the end of a `with`.

    Args:
        library: replaces pynvml in tests.

    Raises:
        Unavailable: there is no driver; `NotInstalled` where pynvml is missing.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = _imported() if library is None else library
        try:
            self._library.nvmlInit()
        except self._library.NVMLError as e:
            raise Unavailable(f"NVML does not start: {e}") from None

    def handles(self) -> list[Any]:
        """Return the handle of each GPU, in PCI order; a GPU that is divided into MIG slices is one of them."""
        return [self.ask("nvmlDeviceGetHandleByIndex", i) for i in range(self.ask("nvmlDeviceGetCount"))]

    def handle_of(self, uuid: str) -> Any:
        """Return the handle of the GPU or the MIG slice with this UUID.

        Raises:
            Unavailable: there is none.
        """
        try:
            return self.ask("nvmlDeviceGetHandleByUUID", uuid)
        except Unanswered as e:
            raise Unavailable(f"NVML has no board {uuid}: {e}") from None

    def ask(self, function: str, *arguments: Any, constant: str | None = None) -> Any:
        """Call a function of NVML and return its answer; text is decoded.

        Args:
            function: its name in pynvml.
            arguments: a handle first, where the question is about a board.
            constant: the name in pynvml of the last argument.

        Raises:
            Unanswered: NVML returned an error, or this pynvml is too old to know the function or the constant.
        """
        try:
            call = getattr(self._library, function)
            last = [getattr(self._library, constant)] if constant else []
        except AttributeError as e:
            raise Unanswered(e, is_final=True) from None
        try:
            answer = call(*arguments, *last)
        except self._library.NVMLError as e:
            raise Unanswered(e, is_final=getattr(e, "value", None) in FINAL) from None
        return answer.decode() if isinstance(answer, bytes) else answer

    def ask_or_none(self, function: str, *arguments: Any) -> Any:
        """Call a function of NVML; return None where it does not answer."""
        try:
            return self.ask(function, *arguments)
        except Unanswered:
            return None

    def close(self) -> None:
        """Close NVML."""
        with suppress(self._library.NVMLError):
            self._library.nvmlShutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _imported() -> Any:
    try:
        return importlib.import_module(MODULE)
    except ImportError:
        raise NotInstalled("pynvml is not installed: pip install nvidia-ml-py") from None
