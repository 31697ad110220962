"""The settings of the process that decide how torch computes: they stay ours, whatever a model's code sets.

A factory that sets the default dtype to float64, say, or lets matrix products run in TF32, would do so for our checks
and for every step too, and the cell would not compute in the precision of its name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils import deterministic

CUDA, CUDNN, MKLDNN = torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn


class Setting(NamedTuple):
    """One setting of the process."""

    read: Callable[[], Any]
    write: Callable[[Any], object]


def _attribute(owner: object, name: str) -> Setting:
    return Setting(functools.partial(getattr, owner, name), functools.partial(setattr, owner, name))


def _autocast(device: str) -> Setting:
    return Setting(
        lambda: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)),
        lambda value: (torch.set_autocast_enabled(device, value[0]), torch.set_autocast_dtype(device, value[1])),
    )


def _flushes_denormals() -> bool:
    return float(torch.tensor([1e-310], dtype=torch.float64, device="cpu") * 1) == 0


SETTINGS: dict[str, Setting] = {
    "default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype),
    "default device": Setting(
        lambda: str(torch.get_default_device()), lambda name: torch.set_default_device(None if name == "cpu" else name)
    ),
    "threads": Setting(torch.get_num_threads, torch.set_num_threads),
    "gradients": Setting(torch.is_grad_enabled, torch.set_grad_enabled),
    "anomaly detection": Setting(torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "autocast on a CPU": _autocast("cpu"),
    "autocast on a GPU": _autocast("cuda"),
    "autocast's cache": Setting(torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    "deterministic algorithms": Setting(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    "fill of new memory": _attribute(deterministic, "fill_uninitialized_memory"),
    "flushing of denormals": Setting(_flushes_denormals, torch.set_flush_denormal),
    # Parents before children, and both before the two older switches, which are what this project sets.
    "fp32 precision": _attribute(torch.backends, "fp32_precision"),
    "fp32 precision of cudnn": _attribute(CUDNN, "fp32_precision"),
    "fp32 precision of cudnn.conv": _attribute(CUDNN.conv, "fp32_precision"),
    "fp32 precision of cudnn.rnn": _attribute(CUDNN.rnn, "fp32_precision"),
    "fp32 precision of mkldnn": _attribute(MKLDNN, "fp32_precision"),
    "fp32 precision of mkldnn.matmul": _attribute(MKLDNN.matmul, "fp32_precision"),
    "fp32 precision of mkldnn.conv": _attribute(MKLDNN.conv, "fp32_precision"),
    "fp32 precision of mkldnn.rnn": _attribute(MKLDNN.rnn, "fp32_precision"),
    "fp32 precision of cuda.matmul": _attribute(CUDA.matmul, "fp32_precision"),
    "float32_matmul_precision": Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "cuda.matmul.allow_tf32": _attribute(CUDA.matmul, "allow_tf32"),
    "cudnn.allow_tf32": _attribute(CUDNN, "allow_tf32"),
    "fp16 reductions": _attribute(CUDA.matmul, "allow_fp16_reduced_precision_reduction"),
    "bf16 reductions": _attribute(CUDA.matmul, "allow_bf16_reduced_precision_reduction"),
    "fp16 accumulation": _attribute(CUDA.matmul, "allow_fp16_accumulation"),
    "cudnn": _attribute(CUDNN, "enabled"),
    "cudnn.benchmark": _attribute(CUDNN, "benchmark"),
    "cudnn.deterministic": _attribute(CUDNN, "deterministic"),
    "oneDNN": _attribute(MKLDNN, "enabled"),
    "flash attention": Setting(CUDA.flash_sdp_enabled, CUDA.enable_flash_sdp),
    "memory-efficient attention": Setting(CUDA.mem_efficient_sdp_enabled, CUDA.enable_mem_efficient_sdp),
    "plain attention": Setting(CUDA.math_sdp_enabled, CUDA.enable_math_sdp),
    "attention of cuDNN": Setting(CUDA.cudnn_sdp_enabled, CUDA.enable_cudnn_sdp),
    "NumPy's errors": Setting(np.geterr, lambda value: np.seterr(**value)),
}
"""By the word that a record uses. A setting that this version of torch lacks is left out."""

OLDER = ("float32_matmul_precision", "cuda.matmul.allow_tf32", "cudnn.allow_tf32", "fp32 precision of mkldnn.matmul")
"""Set back once more at the end: the first of them sets the others, and torch does not read the older ones
while the newer ones differ."""

UNREADABLE = "mixed"
"""In the place of a value that torch does not tell, since the older and the newer switches contradict each other."""


def read_settings() -> dict[str, Any]:
    """Return all of them as they are."""
    return {name: value for name, setting in SETTINGS.items() if (value := _read(setting)) is not None}


def restore_settings(own: dict[str, Any]) -> list[str]:
    """Set back what differs from `own`, and return it in words, as `default dtype torch.float64`."""
    found = read_settings()
    changed = [name for name, value in own.items() if found.get(name) != value]
    for name in changed:
        SETTINGS[name].write(own[name])
    if any(word in name for name in changed for word in ("fp32", "tf32", "float32")):
        for name in OLDER:
            SETTINGS[name].write(own[name])
    return [f"{name} {found.get(name)}" for name in changed]


@contextmanager
def settings_kept() -> Iterator[list[str]]:
    """Context after which all settings are what they were; gives a list of what had been changed, filled at its end."""
    own, changed = read_settings(), list[str]()
    try:
        yield changed
    finally:
        changed += restore_settings(own)


def _read(setting: Setting) -> Any:
    try:
        return setting.read()
    except AttributeError:
        return None
    except Exception:
        return UNREADABLE
