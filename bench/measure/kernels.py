"""What the name of a kernel or an operator tells: whether it multiplies matrices or convolves, and in which dtype.

Read from cuBLASLt 13 and cuDNN 9, whose libraries hold the names, and from public logs of torch on Ampere to Blackwell.
A name of a 16-bit family may say no more than `16 bit`, and many say nothing: a mute name is no witness.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

NVJET = re.compile(r"nvjet_(?:sm\d+_)?([a-z])")
NVJET_DTYPES = {"t": "bf16", "h": "fp16", "q": "fp8", "s": "tf32"}
"""cuBLASLt on Hopper and newer: the first letter is the dtype of a factor (`tst`: bf16, summed in fp32, to bf16)."""

PARTS = re.compile(
    r"split_?k_?reduc|::split_k_kernel|segment_k_reduction|cublasLt::epilogue|fft[12]d_|fusion::(\w*_dq|compute_dot|fmha_)",
    re.IGNORECASE,
)
"""Kernels that begin or end a product that others compute: their types need not be those of its factors."""

KERNEL_DTYPES = (
    ("fp32", r"bf16x9|fmha_cutlass[FB]_f32"),  # put together from products of fewer bits, as exact as fp32
    ("fp8", r"e4m3|e5m2|fp8|_f8"),
    ("int8", r"_i8|_[su]8(_|$)|int8"),
    ("tf32", r"tf32|tfloat32"),
    ("bf16", r"bf16|bfloat16|BFloat16"),
    ("16 bit", r"cudnn_generated\w*f16|mma_f16"),  # cuDNN says f16 of bf16 too
    ("fp16", r"fp16|f16|[hH]alf(_t|2|_engine|\W|$)|hgemm|hcudnn|h884|h1688|h16816|h161616"),
    ("16 bit", r"hg?mma_\w*fp32"),  # the sum's
    ("tf32", r"s1688(gemm|cudnn|fprop|dgrad|wgrad)"),
    ("fp64", r"f64|double|[dz]gemm|[dz]884"),
    ("fp32", r"sgemm|scudnn|f32f32_f32|simt|ffma|float"),
)
"""Dtype of the factors -> what the names of NVIDIA's kernels, or their template arguments, say of it; the first that
fits counts. `16 bit` is fp16 or bf16, whichever. Read from cuBLASLt 13 and cuDNN 9, whose libraries hold the names."""

PRODUCTS = re.compile(
    r"(?<!fb)gemm|gemv|conv(?!ert|ers)|fprop|dgrad|wgrad|cutlass|nvjet|xmma|winograd|cudnn_|[hsdi]\d*cudnn|matmul|sdpa"
    r"|flash|fmha|grouped_direct|c1_k1|RNN_(block)?Persist|lstm_(tile|cta|bp)|" + PARTS.pattern,
    re.IGNORECASE,
)
"""What the name of a kernel that multiplies holds, its template arguments aside."""

NO_PRODUCTS = re.compile(
    r"(batch|layer|rms|instance|group)_?norm(?!::kernel_matmul)|native_bn_|Gemm(Bias|Ptrs)|compute\w*Offsets",
    re.IGNORECASE,
)
"""What such a name holds if the kernel normalises instead, or only prepares."""

ATEN_PRODUCTS = re.compile(
    r"(aten|mkldnn)::_?(mkldnn_|slow_|thnn_|scaled_|grouped_)?"
    r"(conv(?!ert)|(add|badd)?b?(mm|mv)(_?$|_activation)|linear|dot_product|rnn_layer)"
)
"""An operator's name, as the profiler of a CPU says it, if it multiplies."""


def kernel_dtypes(names: Iterable[str]) -> dict[str, str]:
    """Return kernel -> dtype of its factors, for NVIDIA's kernels that multiply; `unknown` where the name is mute."""
    return {name: _dtype_of(name) for name in names if is_matmul_or_conv(name)}


def is_matmul_or_conv(name: str) -> bool:
    """Whether a CUDA kernel, or an operator of the form `aten::mm`, multiplies matrices or convolves, or helps to."""
    if name.startswith(("aten::", "mkldnn::")):
        return bool(ATEN_PRODUCTS.match(name))
    if name.startswith("triton_"):  # named by all that is fused in it; only a template multiplies
        return name.startswith("triton_tem_")
    called = _called(name)
    return bool(PRODUCTS.search(called)) and not NO_PRODUCTS.search(called)


def kernels_contradict(dtypes: Mapping[str, str], wanted: str, *, fp8: bool = False) -> str | None:
    """Return in words how the kernels contradict `wanted` (fp32, tf32, fp16 or bf16), or None.

    With `fp8` kernels of fp8 are allowed beside it.

    A kernel of a mute name is no witness, fp32 ones are autocast's policy or too small a product for TF32, and those
    of fp64 and int8 are a model's own wish: no recipe is made of them.
    """
    allowed = {wanted, "fp32", "fp64", "int8", "unknown"}
    allowed |= ({"fp8"} if fp8 else set()) | ({"16 bit"} if wanted in ("fp16", "bf16") else set())
    foreign = [(name, dtype) for name, dtype in dtypes.items() if dtype not in allowed]
    if not foreign:
        return None
    name, dtype = foreign[0]
    return f"a kernel of {dtype} ran under a recipe of {wanted}: {name}"


def _dtype_of(product: str) -> str:
    if letter := NVJET.search(product):
        return NVJET_DTYPES.get(letter[1], "unknown")
    if PARTS.search(_called(product)):
        return "unknown"
    return next((dtype for dtype, token in KERNEL_DTYPES if re.search(token, product)), "unknown")


def _called(kernel: str) -> str:
    """Return a C++ name without template arguments and parameters, which name much that the kernel does not do."""
    name = kernel.replace("(anonymous namespace)", "")
    while (shorter := re.sub(r"<[^<>]*>", "", name)) != name:
        name = shorter
    return re.split(r"[<(]", name)[0]
