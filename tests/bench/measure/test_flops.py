"""Operations by shape, against numbers calculated by hand and those of the studies."""

from __future__ import annotations

import threading
from functools import partial

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from ampbench import models
from ampbench.bench.measure.flops import Flops, count_flops
from ampbench.bench.train.loss.loss import loss_of

IMAGE = (3, 32, 32)


def flops_of(model: str) -> Flops:
    return count_flops(partial(models.build, model), loss_of, IMAGE)


def convolution(**options: int) -> Flops:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 3, padding=1, **options), nn.Flatten())

    return count_flops(build, lambda _: lambda logits, _y: logits.sum(), (3, 4, 4))


def test_a_multiply_add_is_two_and_the_image_needs_no_gradient() -> None:
    first, second = 2 * 16 * 8 * 3, 2 * 16 * 16 * 8 * 9
    assert convolution() == Flops(forward=first + second, backward=first + 2 * second)


def test_a_group_convolves_only_its_own_channels_backwards_too() -> None:
    """torch's own formula counts the gradient of the weights 8 times here."""
    first, second = 2 * 16 * 8 * 3, 2 * 16 * 16 * 8 * 9 // 8
    assert convolution(groups=8) == Flops(forward=first + second, backward=first + 2 * second)


@pytest.mark.parametrize(("model", "giga_multiply_adds"), [("VGG19", 0.398), ("ResNet18", 0.555)])
def test_the_forward_pass_takes_what_study_s3_says(model: str, giga_multiply_adds: float) -> None:
    assert flops_of(model).forward / 2e9 == pytest.approx(giga_multiply_adds, abs=0.0015)


class Attention(nn.Module):
    """Two tokens of 4 numbers, one head."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 12)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        q, k, v = self.qkv(x_NCHW.reshape(-1, 2, 4)).chunk(3, dim=-1)
        return F.scaled_dot_product_attention(q, k, v).flatten(1)


def test_attention_counts_both_of_its_products() -> None:
    """A CPU's flash attention is invisible to the counter, so a ViT's share would be missing."""
    linear, attention = 2 * 2 * 4 * 12, 2 * (2 * 2 * 2 * 4)
    counted = count_flops(Attention, lambda _: lambda logits, _y: logits.sum(), (2, 2, 2))
    assert counted == Flops(forward=linear + attention, backward=linear + 2 * attention)


class InThread(nn.Module):
    """Computes in a thread of its own; `expects` its trouble, or fails by it."""

    def __init__(self, expects: bool, trouble: str = "") -> None:
        super().__init__()
        self.linear, self.expects, self.trouble = nn.Linear(3, 3), expects, trouble

    def forward(self, x_NCHW: Tensor) -> Tensor:
        found: list[Tensor] = [x_NCHW] if self.expects else []

        def read() -> None:
            if self.trouble:
                raise ValueError(self.trouble)
            found.append(self.linear(x_NCHW))

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        return found[-1]


@pytest.mark.parametrize("expects", [False, True])
def test_a_layer_in_a_thread_is_the_reason_and_its_thread_prints_nothing(
    expects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    with pytest.raises(RuntimeError, match="Linear runs in a thread that the network starts"):
        count_flops(lambda: InThread(expects), lambda _: lambda output, _y: output.sum(), (3, 2, 3))
    assert (said, threading.excepthook) == ([], said.append)


def test_what_else_ends_a_thread_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    with pytest.raises(IndexError):
        count_flops(lambda: InThread(False, "its own"), lambda _: lambda output, _y: output.sum(), (3, 2, 3))
    assert [str(ended.exc_value) for ended in said] == ["its own"]
