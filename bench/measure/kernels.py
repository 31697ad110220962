"""What the name of a kernel or an operator shows: the kind of its work, and in which dtype it multiplies.

The names are from the libraries cuBLASLt 13 and cuDNN 9, and from public logs of torch on Ampere to Blackwell.
A name may show only `16 bit`, and many names show no dtype: those are never taken as evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

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
    r"(conv(?!ert)|(add|badd)?b?(mm|mv)(_?$|_activation)|matmul|einsum|linear|dot_product|rnn_layer)"
)
"""Pattern of the name of an operator that multiplies, as the profiler of a CPU prints it."""

Kind = Literal["matmul_conv", "normalisation", "elementwise", "cast", "copy", "optimizer", "other"]
"""Kind of work of a kernel or an operator: the `work_*_ms` of ampbench/schema/work.py."""

KERNEL_KINDS: tuple[tuple[Kind, str], ...] = (
    ("optimizer", r"multi_tensor_apply|Fused(Adam|Sgd|Adagrad)|fused_(adam|sgd|adagrad)|amp_(non_finite|update_scale)"),
    (
        "normalisation",
        r"(batch|layer|rms|instance|group)_?norm|\bbn_|_bn_|native_bn_|RowwiseMoments|GammaBeta|GroupNorm|LayerNorm"
        r"|welford",
    ),
    ("cast", r"convertTensor|VectorizedConvertTensor|b?float16_copy_kernel|float8\w*_copy_kernel"),
    ("cast", r"direct_copy_kernel.*(LoadWithCast|StoreWithCast)|gpu_kernel_impl<[^<]*direct_copy_kernel"),
    ("cast", r"^triton_poi_fused_+(to_copy|convert_element_type)(_(clone|view|t|permute))*(_\d+)?$"),
    (
        "copy",
        r"^Memcpy|^Memset|copy_kernel|CatArray|FillFunctor|nchwToNhwc|nhwcToNchw|scalePackedTensor|transpose"
        r"|im2col|col2im",
    ),
    ("elementwise", r"at::native|at_cuda_detail|elementwise|cudnn::|softmax|pool|dropout|reduce|^triton_"),
)
"""Kind -> pattern of the whole names of kernels that do not multiply; the first match counts, and no match is other.
A copy casts where it loads or stores with a cast (aten/src/ATen/native/cuda/Loops.cuh, `gpu_kernel_impl`)."""

OPERATOR_KINDS: tuple[tuple[Kind, str], ...] = (
    ("optimizer", r"aten::(_fused_(adam|sgd|adagrad)|_foreach_|_amp_)"),
    ("normalisation", r"(aten|mkldnn)::\w*(batch|layer|rms|instance|group)_norm"),
    ("copy", r"aten::(clone|contiguous|cat|fill|zero|im2col|col2im|to_mkldnn|to_dense)_?$|mkldnn::\w*reorder"),
    ("other", r"(?!autograd::)\w*[Cc]ompiled|Torch-Compiled|## Call|graph_\d+_cpp_fused"),
)
"""The same for operators on a CPU that do not multiply."""
MOVES = re.compile(
    r"aten::(empty|new_empty|resize|as_strided|view|reshape|_reshape_alias|t$|transpose|permute|expand|squeeze|unsqueeze"
    r"|select|slice|split|chunk|narrow|flatten|unflatten|alias|detach|lift_fresh|resolve|result_type|set_|item|is_"
    r"|_local_scalar_dense|to$|_to_copy|zeros|ones|full|new_zeros|new_ones|unbind|stride|size|numpy_T|record_stream)"
)
"""Operators that only allocate, view or call a further operator: their time is that of whatever called them."""


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


def kind_of_kernel(name: str) -> Kind:
    """Return the kind of work of a CUDA kernel, as far as its name tells; `other` if it does not."""
    if is_matmul_or_conv(name):
        return "matmul_conv"
    return next((kind for kind, token in KERNEL_KINDS if re.search(token, name, re.IGNORECASE)), "other")


def kind_of_operator(name: str, dtypes: Sequence[str] = ()) -> Kind | None:
    """Return the kind of work of an operator on a CPU; None for one that belongs to whatever called it.

    Args:
        name: as the profiler prints it, `aten::mm`.
        dtypes: of its inputs; a copy between two of them is a cast.
    """
    if ATEN_PRODUCTS.match(name):
        return "matmul_conv"
    if name == "aten::copy_":
        return "cast" if len(set(dtypes[:2])) > 1 else "copy"
    if found := next((kind for kind, token in OPERATOR_KINDS if re.match(token, name)), None):
        return found
    if name.startswith(("autograd::", "torch::autograd::")) or "::" not in name or MOVES.match(name):
        return None
    return "elementwise" if name.startswith(("aten::", "mkldnn::")) else "other"


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
