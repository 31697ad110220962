"""Of which kind the work of a kernel or an operator is, by its name.

The names are those of cuBLASLt 13, cuDNN 9, torch 2.11 to 2.15 and inductor, as profilers show them.
"""

from __future__ import annotations

import pytest

from ampbench.bench.measure.kernels import kind_of_kernel, kind_of_operator

COPY = (
    "at::native::direct_copy_kernel_cuda(at::TensorIteratorBase&)::{lambda()#3}::operator()() const::{lambda(float)#1}"
)
KINDS = {
    "matmul_conv": (
        "nvjet_sm90_tst_192x192_64x3_2x1_v_bz_coopB_NTN",
        "ampere_sgemm_32x128_tn",
        "triton_tem_fused_mm_1",
    ),
    "normalisation": (
        "void cudnn::batchnorm_fwtr_nhwc_semiPersist<__half, float, __half, 512, 1, 2, 20>(int)",
        "void cudnn::bn_fw_tr_1C11_kernel_NCHW<float, float, int, 512, true, 1, true>",
        "void cudnn::bn_bw_1C11_kernel_new<__half, float, float2, 32, true, 1>(float)",
        "cudnn_generated_fort_native_bn_fwd_training_sm90",
        "void at::native::batch_norm_backward_reduce_channels_last_kernel<4, c10::BFloat16, float, float>(int)",
        "void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<c10::BFloat16, float>(int, float)",
        "void at::native::(anonymous namespace)::GammaBetaBackwardCUDAKernelTemplate<float, float, 32u, 32u>(long)",
        "void at::native::(anonymous namespace)::RowwiseMomentsCUDAKernel<float>(long, float, float const*)",
        "triton_per_fused_native_batch_norm_backward_5",
        "triton_red_fused__native_batch_norm_legit_functional__to_copy_relu_7",
    ),
    "elementwise": (
        "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16> >",
        "void at::native::vectorized_elementwise_kernel<4, at::native::launch_clamp_scalar(float)>(int)",
        "void at::native::(anonymous namespace)::max_pool_forward_nhwc<float>(float const*, int)",
        "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float> >(int)",
        "void (anonymous namespace)::softmax_warp_forward<float, float, float, 4, true, false>(float*, float const*)",
        "void cudnn::pooling_fw_4d_kernel<__half, float, cudnn::maxpooling_func<float> >(int)",
        "void at::native::(anonymous namespace)::fused_dropout_kernel_vec<c10::BFloat16, float>(int)",
        "triton_poi_fused_convolution_relu_2",
        "triton_poi_fused__to_copy_add_relu_4",
    ),
    "cast": (
        f"void at::native::unrolled_elementwise_kernel<{COPY}, std::array<char*, 2ul>, 4, "
        "at::native::memory::LoadWithCast<1>, at::native::memory::StoreWithCast<1> >(int)",
        f"void at::native::elementwise_kernel<128, 4, at::native::gpu_kernel_impl<{COPY}>(int)>(int)",
        "void at::native::vectorized_elementwise_kernel<4, at::native::bfloat16_copy_kernel_cuda(int)>",
        "void at::native::vectorized_elementwise_kernel<4, at::native::float16_copy_kernel_cuda(int)>",
        "void cudnn::engines_precompiled::convertTensor_kernel<float, __half, float, (cudnnKernelDataType_t)2>(float)",
        "triton_poi_fused__to_copy_0",
    ),
    "copy": (
        f"void at::native::elementwise_kernel<128, 2, at::native::gpu_kernel_impl_nocast<{COPY}>(int)>(int)",
        f"void at::native::vectorized_elementwise_kernel<4, {COPY}, std::array<char*, 2ul> >(int)",
        "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float> >(int)",
        "void at::native::(anonymous namespace)::CatArrayBatchedCopy_vectorized<at::native::OpaqueType<2u>, 3>(char*)",
        "void cudnn::engines_precompiled::nchwToNhwcKernel<__half, __half, float, false, true>(int)",
        "Memcpy DtoD (Device -> Device)",
        "Memset (Device)",
    ),
    "optimizer": (
        "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<FusedSgdMathFunctor<float> >",
        "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<FusedAdamMathFunctor<float, 4> >(int)",
        "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<LpNormFunctor<float> >",
        "at::native::amp_update_scale_cuda_kernel(float*, int*, float const*, double, double, int)",
    ),
    "other": ("void my_extension::sampler<float>(int)",),
}
"""Kind of work -> kernels of it."""


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in KINDS.items() for name in names])
def test_the_kind_of_a_kernels_work_is_in_its_name(kind: str, name: str) -> None:
    assert kind_of_kernel(name) == kind


@pytest.mark.parametrize(
    ("name", "dtypes", "kind"),
    [
        ("aten::mkldnn_convolution", (), "matmul_conv"),
        ("aten::matmul", (), "matmul_conv"),
        ("aten::native_batch_norm_backward", (), "normalisation"),
        ("aten::_batch_norm_impl_index", (), "normalisation"),
        ("aten::native_layer_norm", (), "normalisation"),
        ("aten::threshold_backward", (), "elementwise"),
        ("aten::max_pool2d_with_indices", (), "elementwise"),
        ("aten::_log_softmax", (), "elementwise"),
        ("aten::copy_", ("float", "c10::BFloat16", "Scalar"), "cast"),
        ("aten::copy_", ("float", "float", "Scalar"), "copy"),
        ("aten::cat", (), "copy"),
        ("aten::_foreach_norm", (), "optimizer"),
        ("aten::_fused_adamw_", (), "optimizer"),
        ("aten::empty_strided", (), None),
        ("aten::to", (), None),
        ("aten::t", (), None),
        ("autograd::engine::evaluate_function: ConvolutionBackward0", (), None),
        ("torch::autograd::AccumulateGrad", (), None),
        ("ReluBackward0", (), None),
        ("Torch-Compiled Region: 0/0", (), "other"),
        ("my_extension::sampler", (), "other"),
    ],
)
def test_the_kind_of_an_operators_work_is_in_its_name_and_dtypes(
    name: str, dtypes: tuple[str, ...], kind: str | None
) -> None:
    assert kind_of_operator(name, dtypes) == kind
