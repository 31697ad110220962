"""fp32 copies of 16-bit weights: what the optimizer updates where 16 bits would round the update away.

A weight w in 16 bit moves only if the update reaches half the gap to its neighbour: 2^-9 |w| at the most in bf16,
2^-12 |w| in fp16. Late in a training most updates are smaller and are lost. There are three ways to keep them:

    master_weights          update an fp32 copy, round it into the weight (Micikevicius et al., 2018, section 3.1)
    rounding = stochastic   round up or down at random, so that the mean is exact (Gupta et al., 2015, section 3)
    rounding = kahan        keep what rounding lost in a second 16-bit number (Zamirai et al., 2020, section 4)

All three hand the optimizer fp32 parameters, so its momentum and moments are fp32 too, and a loss scale is divided
out of fp32 gradients by any implementation. The last two need the fp32 copies for the step alone; they are kept here
between steps, so the *memory* of those two recipes is an upper bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ampbench.bench.plan.recipe import Rounding


class MasterWeights:
    """fp32 parameters that follow 16-bit weights: their gradients come from them, their values go back to them.

    Hooks do both, so the training step knows nothing of it: a gradient moves over as soon as backward has
    accumulated it, before any loss scaler reads it; the values go back when the optimizer has stepped.
    """

    def __init__(self, weights: Iterable[nn.Parameter], rounding: Rounding, device: torch.device, seed: int) -> None:
        every = list(weights)
        self.parameters = [nn.Parameter(w.detach().float()) if _is_narrow(w) else w for w in every]
        """fp32, of the weights' shapes: what the optimizer is built over. A weight that is wider is updated itself."""
        self.weights = [w for w in every if _is_narrow(w)]
        """Those in 16 bit."""
        self.copies = [p for w, p in zip(every, self.parameters, strict=True) if _is_narrow(w)]
        """Theirs among `parameters`."""
        self.rounding = rounding
        self.lost = [torch.zeros_like(w) for w in self.weights] if rounding == "kahan" else []
        """16-bit: what rounding has taken from each weight so far."""
        self.generator = torch.Generator(device).manual_seed(seed)
        for weight, parameter in zip(self.weights, self.copies, strict=True):
            weight.register_post_accumulate_grad_hook(_hand_over_to(parameter))

    def follow(self, optimizer: Optimizer) -> None:
        """Write the weights back after every step of the optimizer over `parameters`."""
        optimizer.register_step_post_hook(lambda *_: self.write_back())

    @torch.no_grad()
    def write_back(self) -> None:
        """Round the fp32 values into the weights. A second call changes nothing but Kahan's ties."""
        if self.rounding == "stochastic":
            for weight, parameter in zip(self.weights, self.copies, strict=True):
                narrow = weight.dtype == torch.bfloat16
                weight.copy_(round_stochastically(parameter, self.generator) if narrow else parameter)
                parameter.copy_(weight)
            return
        if self.weights:
            torch._foreach_copy_(self.weights, self.copies)
        for weight, parameter, lost in zip(self.weights, self.copies, self.lost, strict=False):
            lost.copy_(parameter - weight)
            parameter.copy_(weight + lost.float())

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the 16-bit weights do not hold themselves."""
        return {
            "parameters": [p.detach() for p in self.parameters],
            "lost": self.lost,
            "generator": self.generator.get_state(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state back, into the tensors that the optimizer holds."""
        torch._foreach_copy_(self.parameters, state["parameters"])
        if self.lost:
            torch._foreach_copy_(self.lost, state["lost"])
        self.generator.set_state(state["generator"])


def round_stochastically(x: Tensor, generator: torch.Generator) -> Tensor:
    """Round fp32 to bf16, up with the probability that makes the mean exact.

    A bf16 number is the upper half of an fp32 one. Adding a uniform 16-bit integer to the lower half carries into
    the upper with just that probability; then the lower half is dropped. Infinities and NaN stay.

    Args:
        x: fp32, any shape.
        generator: on the device of `x`.

    Returns:
        bf16, the shape of `x`.
    """
    noise = torch.randint(0, 1 << 16, x.shape, generator=generator, dtype=torch.int32, device=x.device)
    rounded = ((x.view(torch.int32) + noise) & -(1 << 16)).view(torch.float32)
    return torch.where(x.isfinite(), rounded, x).to(torch.bfloat16)


def _is_narrow(weight: Tensor) -> bool:
    return weight.dtype in (torch.float16, torch.bfloat16)


def _hand_over_to(parameter: nn.Parameter) -> Any:
    def hand_over(weight: Tensor) -> None:
        assert weight.grad is not None, "called when the gradient has been accumulated"
        gradient = weight.grad.to(parameter.dtype)
        parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        weight.grad = None

    return hand_over
