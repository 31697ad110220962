"""What the name of a kernel or an operator shows: whether it multiplies matrices or convolves, and in which dtype.

The names are from the libraries cuBLASLt 13 and cuDNN 9, and from public logs of torch on Ampere to Blackwell.
A name may show only `16 bit`, and many names show no dtype: those are never taken as evidence.
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
"""Kernels that prepare or finish a product that other kernels compute: their types may differ from its factors'."""

KERNEL_DTYPES = (
    ("fp32", r"bf16x9|fmha_cutlass[FB]_f32"),  # composed of products of fewer bits, as exact as fp32
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
"""Dtype of the factors -> pattern of the names of NVIDIA's kernels, or of their template arguments; the first match
counts. `16 bit` is fp16 or bf16. The names are from the libraries cuBLASLt 13 and cuDNN 9."""

PRODUCTS = re.compile(
    r"(?<!fb)gemm|gemv|conv(?!ert|ers)|fprop|dgrad|wgrad|cutlass|nvjet|xmma|winograd|cudnn_|[hsdi]\d*cudnn|matmul|sdpa"
    r"|flash|fmha|grouped_direct|c1_k1|RNN_(block)?Persist|lstm_(tile|cta|bp)|" + PARTS.pattern,
    re.IGNORECASE,
)
"""Pattern of the name of a kernel that multiplies, without its template arguments."""

NO_PRODUCTS = re.compile(
    r"(batch|layer|rms|instance|group)_?norm(?!::kernel_matmul)|native_bn_|Gemm(Bias|Ptrs)|compute\w*Offsets",
    re.IGNORECASE,
)
"""Pattern of such a name if the kernel normalises instead, or only prepares."""

ATEN_PRODUCTS = re.compile(
    r"(aten|mkldnn)::_?(mkldnn_|slow_|thnn_|scaled_|grouped_)?"
    r"(conv(?!ert)|(add|badd)?b?(mm|mv)(_?$|_activation)|linear|dot_product|rnn_layer)"
)
"""Pattern of the name of an operator that multiplies, as the profiler of a CPU prints it."""


def kernel_dtypes(names: Iterable[str]) -> dict[str, str]:
    """Return kernel -> dtype of its factors, for NVIDIA's kernels that multiply; `unknown` where the name has none."""
    return {name: _dtype_of(name) for name in names if is_matmul_or_conv(name)}


def is_matmul_or_conv(name: str) -> bool:
    """Whether a CUDA kernel, or an operator of the form `aten::mm`, multiplies matrices or convolves, or helps to."""
    if name.startswith(("aten::", "mkldnn::")):
        return bool(ATEN_PRODUCTS.match(name))
    if name.startswith("triton_"):  # its name lists all fused operators; only a template multiplies
        return name.startswith("triton_tem_")
    called = _called(name)
    return bool(PRODUCTS.search(called)) and not NO_PRODUCTS.search(called)


def kernels_contradict(dtypes: Mapping[str, str], wanted: str, *, fp8: bool = False) -> str | None:
    """Return in words how the kernels contradict `wanted` (fp32, tf32, fp16 or bf16), or None.

    With `fp8` kernels of fp8 are allowed beside it.

    Other kernels are no contradiction: a name may show no dtype; fp32 may be autocast's policy, or a product too small
    for TF32; and fp64 and int8 are the model's own choice, because no recipe uses them.
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
    """Return a C++ name without template arguments and parameters, which do not describe the kernel."""
    name = kernel.replace("(anonymous namespace)", "")
    while (shorter := re.sub(r"<[^<>]*>", "", name)) != name:
        name = shorter
    return re.split(r"[<(]", name)[0]
