"""A network of shapes alone that has seen its first images: for counts and predictions, which compute nothing.

Some networks set weights or statistics by the first images that they see, and a flag that they have; to look at a value
is what fake tensors cannot. So the network is built for real and sees two images; then its weights are made fake, but
for its flags: numbers that are alone and do not train.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves


@contextmanager
def on_shapes(
    build: Callable[[], nn.Module], see: Callable[[nn.Module], object]
) -> Iterator[tuple[nn.Module, FakeTensorMode]]:
    """Context in which tensors are fake, with a network whose weights are, in training mode.

    Args:
        build: returns it, on the CPU.
        see: lets it see its first images.
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
    finally:  # a factory may return the one network that it always does
        for register, name, x in real:
            register[name] = x


def _fake(mode: FakeTensorMode, x: Tensor) -> Tensor:
    with mode:
        fake: Tensor = mode.from_tensor(x.detach())
        return nn.Parameter(fake, x.requires_grad) if isinstance(x, nn.Parameter) else fake


class _FlagsAreReal(TorchDispatchMode):
    """Computes for real what has to do with flags alone."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if tensors and all(not isinstance(x, FakeTensor) and x.numel() == 1 for x in tensors):
            with _disable_current_modes():
                return func(*args, **kwargs)
        return func(*args, **kwargs)
