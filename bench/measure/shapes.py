"""A network of fake tensors that has seen its first images: for counts and predictions, which compute nothing.

Some networks set weights or statistics by the first images that they see, and a flag that says so; fake tensors have no
values to read. So the network is built with real tensors and sees two images; then its weights are made fake, except
its flags: single numbers that are not trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

READS_NUMBERS = (
    "the network reads numbers of its tensors (.item(), an if on a tensor, a mask as an index, packed sequences), and "
    "here tensors have only shapes"
)


@contextmanager
def on_shapes(
    build: Callable[[], nn.Module], see: Callable[[nn.Module], object]
) -> Iterator[tuple[nn.Module, FakeTensorMode]]:
    """Context in which tensors are fake; it yields a network in training mode, whose weights are fake too.

    Args:
        build: returns the network, on the CPU.
        see: lets it see its first images.

    Raises:
        RuntimeError: in the context, of a network that reads numbers of its tensors.
    """
    with torch.random.fork_rng(devices=[]):
        model = build()
        model.train()
        see(model)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    made: dict[int, Tensor] = {}  # tied weights stay tied
    real: list[tuple[dict[str, Any], str, Tensor]] = []
    for module in model.modules():
        for register in (module._parameters, module._buffers):
            real += [(register, name, x) for name, x in register.items() if x is not None]
    try:
        for register, name, x in real:
            if x.requires_grad or x.numel() > 1:
                register[name] = made.setdefault(id(x), _fake(mode, x))
        with mode, _FlagsAreReal():
            yield model, mode
    except (DataDependentOutputException, DynamicOutputShapeException) as e:
        raise RuntimeError(READS_NUMBERS) from e
    finally:  # a factory may return the same network at every call
        for register, name, x in real:
            register[name] = x


def _fake(mode: FakeTensorMode, x: Tensor) -> Tensor:
    with mode:
        fake: Tensor = mode.from_tensor(x.detach())
        return nn.Parameter(fake, x.requires_grad) if isinstance(x, nn.Parameter) else fake


class _FlagsAreReal(TorchDispatchMode):
    """Computes operators on flags alone with real values."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if tensors and all(not isinstance(x, FakeTensor) and x.numel() == 1 for x in tensors):
            with _disable_current_modes():
                return func(*args, **kwargs)
        return func(*args, **kwargs)
