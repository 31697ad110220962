"""How many floating-point operations a training step has: counted by the shapes of its products, not measured.

A multiply-add is two operations; only matrix products and convolutions count (as in Chowdhery et al., 2022, "PaLM",
appendix B, for the model FLOPs utilisation). Nothing is computed: the network is built on torch's meta device.
"""

from __future__ import annotations

import math
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode

BATCH_SIZE = 2
"""Images counted at once: BatchNorm refuses to train on one, and the count is proportional to the batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flops:
    """Operations for one image."""

    forward: int
    backward: int

    @property
    def step(self) -> int:
        """Forward and backward together; the update multiplies no matrices."""
        return self.forward + self.backward


def count_flops(
    build: Callable[[], nn.Module],
    loss_of: Callable[[nn.Module], Callable[[Any, Tensor], Tensor]],
    image_shape: tuple[int, int, int],
    device: str = "meta",
) -> Flops:
    """Count the operations of forward and backward for one image.

    Attention is counted under the MATH backend, whose matrix products the counter sees; it misses those of a CPU's
    flash attention. The second pass is counted, because the first may set weights by its input.

    Args:
        build: returns the network in fp32; called under the device.
        loss_of: returns the loss of a network: from what it returns and labels (N,) to a scalar.
        image_shape: (C, H, W).
        device: of the network and its images; `meta`, unless a mode makes them fake.

    Raises:
        RuntimeError, NotImplementedError: the network reads values, which do not exist here, or computes in threads of
            its own, whose operations the counter does not see.
    """
    with torch.device(device), sdpa_kernel(SDPBackend.MATH), _uncompiled(), _one_thread():
        model = build()
        model.train()  # a model's own train() may return nothing
        x_NCHW, y_N = torch.empty(BATCH_SIZE, *image_shape), torch.zeros(BATCH_SIZE, dtype=torch.int64)
        model(x_NCHW.detach())  # the network may overwrite it, or need its gradient
        with FlopCounterMode(display=False, custom_mapping=BACKWARD) as counter:
            loss = loss_of(model)(model(x_NCHW.detach()), y_N)
            forward = counter.get_total_flops()
            loss.backward()
            total = counter.get_total_flops()
    return Flops(forward=forward // BATCH_SIZE, backward=(total - forward) // BATCH_SIZE)


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Context in which what the network compiles runs as it is written: it is to be counted once, not to be fast."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using `torch.compile.*global hooks", category=UserWarning)
        with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
            yield


@contextmanager
def _one_thread() -> Iterator[None]:
    """Context that raises if a layer runs in another thread: the counter would miss it silently.

    That thread ends without a traceback of its own; whatever the network makes of its end, the reason is raised here.
    """
    own, say = threading.get_ident(), threading.excepthook
    refusals: list[BaseException] = []

    def refuse(module: nn.Module, _inputs: Any) -> None:
        if threading.get_ident() != own:
            what = type(module).__name__
            refusals.append(
                RuntimeError(f"{what} runs in a thread that the network starts, where operations are not counted")
            )
            raise refusals[-1]

    def say_others(ended: threading.ExceptHookArgs) -> None:
        if not any(ended.exc_value is refusal for refusal in refusals):
            say(ended)

    handle = register_module_forward_pre_hook(refuse)
    threading.excepthook = say_others
    try:
        yield
    except Exception:
        if not refusals:
            raise
    finally:
        handle.remove()
        threading.excepthook = say
    if refusals:
        raise refusals[0]


def _convolution_backward(
    gradient_shape: Sequence[int],
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    output_mask: Sequence[bool],
    **_: Any,
) -> int:
    """Return the operations of the requested gradients: each needs as many as the forward pass.

    torch's own formula counts the weights' gradient as if all channels met: 32 times too much in ResNeXt29_32x4d.
    """
    places = math.prod((x_shape if transposed else gradient_shape)[2:])
    return 2 * x_shape[0] * places * math.prod(weight_shape) * sum(output_mask[:2])


BACKWARD = {torch.ops.aten.convolution_backward: _convolution_backward}
