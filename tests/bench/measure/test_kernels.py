"""What the names of NVIDIA's kernels show: their dtype, and whether they multiply at all.

The names are those of cuBLASLt 13, cuDNN 9, CUTLASS and torch, as profilers on Ampere, Hopper and Blackwell show them.
"""

from __future__ import annotations

import pytest

from ampbench.bench.measure.kernels import is_matmul_or_conv, kernel_dtypes, kernels_contradict
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.worker.dtype_check import kernels_seen, refuse_kernels

SDPA = "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x128_4x1x1_kernel0_0"
FLASH = (
    "void pytorch_flash::flash_fwd_kernel<pytorch_flash::Flash_fwd_kernel_traits<64, 128, 128, 4, false, false, "
    "cutlass::{}, pytorch_flash::Flash_kernel_traits<64, 128, 128, 4, cutlass::{}> >, true, false, false>"
    "(pytorch_flash::Flash_fwd_params)"
)
GEMV = (
    "std::enable_if<!(false), void>::type internal::gemvx::kernel<int, int, {0}, {0}, {0}, float, false, true, "
    "false, false, 7, false, cublasGemvParamsEx<int, cublasGemvTensorStridedBatched<{0} const> > >(float)"
)
DEPTHWISE = "void at::native::(anonymous namespace)::conv_depthwise2d_forward_kernel<3, {}, int>(long, int, bool)"

PRODUCTS = {
    # cuBLASLt: the first letter is the dtype of a factor
    "nvjet_sm90_tst_192x192_64x3_2x1_v_bz_coopB_NTN": "bf16",
    "nvjet_sm90_tss_64x8_64x16_4x1_v_bz_splitK_TNT": "bf16",
    "nvjet_sm90_hsh_128x256_64x4_2x1_v_bz_coopA_TNN": "fp16",
    "nvjet_sm90_hss_320x128_64x3_1x2_h_bz_coopB_NNT": "fp16",
    "nvjet_sm90_qqtst_128x128_128x6_1x2_h_bz_ovscale_TNT": "fp8",
    "nvjet_sm90_sss_128x256_32x4_2x1_v_bz_TNT": "tf32",
    "nvjet_sss_tf32_128x256_TNT": "tf32",
    "nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNN": "bf16",
    "nvjet_hsh_128x256_64x4_2x1_v_bz_coopA_TNN": "fp16",
    "nvjet_qqhsh_128x256_128x6_2x1_v_bz_TNT": "fp8",
    "nvjet_sm100_tst_64x16_64x16_2x4_2cta_h_bz_splitK_TNT": "bf16",
    "nvjet_sm100_qqtst_128x256_128x6_2x2_2cta_h_bz_Avec32UE8M0_Bvec32UE8M0_TNT": "fp8",
    "nvjet_sm100_ootst_128x128_256x7_4x1_2cta_v_bz_Avec16UE4M3_Bvec16UE4M3_TNT": "unknown",
    "nvjet_sm120_tst_mma_64x64x128_3_32x32x128_tmaAB_alignCD4_bz_TNNN": "bf16",
    # Attention: cuDNN's kernels say f16 of bf16 too
    SDPA: "16 bit",
    "cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma_f16_knob_26_64x64x128_1x1x1_kernel0_0": "16 bit",
    "cudnn_generated_fort_native_sdpa_sm80_flash_fprop_wmma_f16_knob_6_128x64x64_4x1x1_cga1x1x1_kernel0_0": "16 bit",
    "fmha_cutlassF_bf16_aligned_64x128_rf_sm80(PyTorchMemEffAttention::AttentionKernel<cutlass::bfloat16_t>)": "bf16",
    "fmha_cutlassB_f16_aligned_64x64_k64_dropout_sm80(PyTorchMemEffAttention::AttentionBackwardKernel)": "fp16",
    "fmha_cutlassF_f32_aligned_64x64_rf_sm80(PyTorchMemEffAttention::AttentionKernel<float>::Params)": "fp32",
    FLASH.format("bfloat16_t", "bfloat16_t"): "bf16",
    FLASH.format("half_t", "half_t"): "fp16",
    "flash_fwd_kernel": "unknown",
    # Convolutions
    "sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize128x128x64_warpgroupsize1x1x1": "bf16",
    "sm90_xmma_wgrad_indexed_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc_tilesize128x128x64": "fp16",
    "sm90_xmma_fprop_implicit_gemm_f32f32_tf32f32_f32_nhwckrsc_nhwc_tilesize64x128x32": "tf32",
    "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nhwc_tilesize128x128x16_stage4": "tf32",
    "sm80_xmma_dgrad_implicit_gemm_indexed_f32f32_f32f32_f32_nchwkcrs_nchw_tilesize128x32x8_ffma_aligna4": "fp32",
    "sm90_xmma_fprop_implicit_gemm_e4m3f16_e4m3f32_f32_nhwckrsc_nhwc_tilesize64x128x128_bias_f16": "fp8",
    "sm90_xmma_fprop_implicit_gemm_i8f32_i8i32_f32_nchw_vect_c_32kcrs_vect_c_32_tilesize64x256x128": "int8",
    "void cutlass__5x_cudnn::Kernel<cutlass_tensorop_s1688fprop_optimized_tf32_64x64_16x10_nhwc_align4>": "tf32",
    "void cutlass__5x_cudnn::Kernel<cutlass_tensorop_bf16_s16816dgrad_optimized_bf16_64x64_32x10_nhwc>(int)": "bf16",
    "cutlass3x_sm100_tensorop_s256x128x16_conv2d_fprop_bn_stat_f16_f16_f32_f16_256x128x64_dyn_cga_ndhwc": "fp16",
    "cutlass3x_sm100_tensorop_s256x128x8tf32implicit_gemm_wgrad_f32_f32_f32_f32_f32_f32_256x128x32": "tf32",
    "cudnn_generated_fort_native_sm80_convFwd_pointwise_pointwise": "unknown",
    "implicit_convolve_sgemm": "fp32",
    "void implicit_convolve_sgemm<float, float, 1024, 5, 5, 3, 3, 3, 1, true, false, true>(int)": "fp32",
    "void implicit_convolve_sgemm<__half, __half, 1024, 5>": "fp16",
    "void implicit_convolve_dgemm<long, 128, 5, 8, 3, 3, 5, 0, false, true, true>(int)": "fp64",
    "convolve_common_engine_float_NHWC<__nv_bfloat16, __nv_bfloat16, 128>": "bf16",
    "void cudnn::cnn::conv2d_grouped_direct_kernel<false, true, false, __half>": "fp16",
    "void cudnn::cnn::wgrad_alg0_engine<512, 6, 5, 3, 3, 3, false>(int)": "unknown",
    "void cudnn::winograd_nonfused::winogradForwardData4x4<float, float>(int)": "fp32",
    "_5x_cudnn_volta_scudnn_winograd_128x128_ldg1_ldg4_relu_tile148t_nt_v1": "fp32",
    "Volta_hmma_implicit_gemm_fprop_fp32_nhwc_128x64x32_3x3": "16 bit",
    "sm80_xmma_fprop_image_first_layer_f16f16_f32_f16_nhwckrsc_nhwc_hmma_k16c4r3s3_stride2x2": "fp16",
    DEPTHWISE.format("c10::BFloat16"): "bf16",
    DEPTHWISE.format("c10::Half"): "fp16",
    DEPTHWISE.format("float"): "fp32",
    # Products
    "void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_64x64_32x6_tn_align8>(int)": "bf16",
    "void cutlass::Kernel2<cutlass_80_tensorop_f16_s16816gemm_f16_128x64_64x3_nn_align8>(int)": "fp16",
    "void cutlass::Kernel2<cutlass_80_tensorop_s1688gemm_128x128_16x4_nn_align4>(int)": "tf32",
    "void cutlass::Kernel2<cutlass_80_tensorop_d884gemm_64x32_16x4_tn_align1>(int)": "fp64",
    "void cutlass::Kernel2<cutlass_80_simt_sgemm_128x64_8x5_nt_align1>(int)": "fp32",
    "void cutlass::Kernel2<cutlass_80_simt_hgemm_128x64_8x5_nt_align1>(int)": "fp16",
    "cutlass3x_sm100_tensorop_s128x64x32gemm_f8_f8_f32_bf16_e4m3_128x64x128_1x1x1_0_ntn_align4_1sm_bias_bf16": "fp8",
    "void cutlass::device_kernel<flash::FlashAttnFwdSm90<cute::tuple<int>, cutlass::bfloat16_t, float> >(int)": "bf16",
    "_ZN7cutlass6KernelINS_4gemm6kernelINS_10bfloat16_tE": "bf16",
    "ampere_bf16_s1688gemm_bf16_128x128_ldg8_f2f_stages_32x1_nn": "bf16",
    "ampere_fp16_s1688gemm_fp16_128x128_ldg8_relu_f2f_stages_32x1_tn": "fp16",
    "turing_s1688gemm_fp16_128x128_ldg8_f2f_tn": "fp16",
    "volta_h884gemm_128x64_ldg8_nn": "fp16",
    "ampere_sgemm_32x128_tn": "fp32",
    "maxwell_fp16_sgemm_fp16_128x64_nn": "fp16",
    "sm80_xmma_gemm_f32f32_f32f32_f32_tn_n_tilesize128x128x8_stage3_warpsize2x2x1_ffma_aligna4_alignc4": "fp32",
    "sm89_xmma_gemm_e4m3bf16_e4m3f32_f32_tn_n_tilesize64x64x64": "fp8",
    "void cublasLt_bf16x9_inf_patching::impl::patch_gemm_kernel1x1_core<float, true>(int)": "fp32",
    "void gemmSN_NN_kernel<float, 256, 4, 2, 8, 5, 4, false, cublasGemvTensorStridedBatched<float const>>(int)": "fp32",
    "void gemmk1_kernel<int, __nv_bfloat16, 256, 5, false, false>(float)": "bf16",
    GEMV.format("__nv_bfloat16"): "bf16",
    GEMV.format("__half"): "fp16",
    GEMV.format("float"): "fp32",
    "void RNN_blockPersist_fp_LSTM_HMMA<__half, __half, float, 128>(int)": "fp16",
    "void RNN_blockPersist_fp_LSTM_HMMA<float, float, float, 128>(int)": "fp32",
    "void cudnn::cnn::wgrad_alg1_half_engine<512, 5, 5, 3, 3, 3, true>(int)": "fp16",
    "triton_tem_fused_addmm_3": "unknown",
    # Parts of a product: their types are those of sums and results
    "void cublasLt::splitKreduce_kernel<32, 16, int, float, __nv_bfloat16, float, __half, false>(int)": "unknown",
    "void cublasLt::epilogue::impl::globalKernel<8, 32, __nv_bfloat16, __half, float, true, false, 4>(int)": "unknown",
    "void cudnn::fusion::splitk_reduce_contiguous_kernel<__half, 4>(int)": "unknown",
    "void cudnn::fusion::compute_dot_do_o_specialized<false, 128>(int)": "unknown",
    "void fft2d_r2c_32x32<float, false, 5u, false>(float2*)": "unknown",
}
"""Kernel that multiplies -> dtype of its factors, as far as the name tells."""

NO_PRODUCTS = (
    "void cudnn::batchnorm_fwtr_nhwc_semiPersist<__half, float, __half, 512, 1, 2, 20>(int)",
    "void cudnn::batchnorm_bwtr_nhwc_semiPersist<float, 512, 1, 2, 20>",
    "void cudnn::batchnorm_add_relu_bwtr_nhwc_semiPersist<__nv_bfloat16, float, 512, 16, 3, 1>",
    "void cudnn::bn_fw_tr_1C11_kernel_NCHW<float, float, int, 512, true, 1, true>",
    "void cudnn::bn_bw_1C11_kernel_new<__half, float, float2, 32, true, 1>(float)",
    "void xmma__5x_cudnn::ext::batchnorm::bn_stats::bn_stats_kernel<xmma::Hopper_gemm_traits>(int)",
    "cudnn_generated_layer_norm_fwd_sm90",
    "cudnn_generated_layer_norm_bwd_finalize_",
    "void cudnn::engines_precompiled::scalePackedTensor_kernel<float, float>(long, float*, float)",
    "void cudnn::engines_precompiled::convertTensor_kernel<float, __half, float, (cudnnKernelDataType_t)2>(float)",
    "void cudnn::engines_precompiled::genericVectorizedConvertTensor<float, __half>(int)",
    "void cudnn::engines_precompiled::nchwToNhwcKernel<__half, __half, float, false, true>(int)",
    "void cudnn::ops::nhwcToNchwKernel<__nv_bfloat16, float, float>(int)",
    "void cudnn::engines_precompiled::im2col4d_kernel<float, long>(int)",
    "void cudnn::ops::softmax_fw_kernel<2, float, float, 256, 1, 0, 0, 0>(float)",
    "void cudnn::pooling_fw_4d_kernel<__half, float, cudnn::maxpooling_func<float> >(int)",
    "void cudnn::ops::dropout_fp<float>(int)",
    "void LSTM_elementWise_fp<__half, __half, float>(int, int)",
    "void at::native::(anonymous namespace)::convert_indices_from_coo_to_csr_cuda_kernel<long, int>(int*, long)",
    "void at::native::(anonymous namespace)::max_pool_forward_nhwc<float>(float const*, int)",
    "void at::native::im2col_kernel<float>(long, float const*)",
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>, std::array<char*> >",
    "void at::native::elementwise_kernel<128, 4, at::native::gpu_kernel_impl<at::native::(anonymous namespace)::gemm>>",
    "void at::native::unrolled_elementwise_kernel<at::native::direct_copy_kernel_cuda(at::TensorIteratorBase&)"
    "::{lambda()#3}::operator()() const::{lambda(float)#1}, 4>(int, cudnn_like_params)",
    "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<FusedSgdMathFunctor<float, 2, false, false> >",
    "cudnn_generated_fort_native_bn_fwd_training_sm90",
    "void xmma_cudnn::computeOffsetsKernel<false, false>(xmma_cudnn::ComputeOffsetsParams)",
    "triton_poi_fused_convolution_relu_2",
    "triton_per_fused_native_batch_norm_backward_5",
    "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
    "Memcpy HtoD (Pinned -> Device)",
    "Memset (Device)",
)


@pytest.mark.parametrize(("name", "dtype"), PRODUCTS.items())
def test_a_kernel_that_multiplies_says_no_more_of_its_dtype_than_its_name_does(name: str, dtype: str) -> None:
    assert kernel_dtypes([name]) == {name: dtype}


@pytest.mark.parametrize("name", NO_PRODUCTS)
def test_normalising_converting_and_moving_are_no_products_in_any_recipe(name: str) -> None:
    assert not is_matmul_or_conv(name)
    assert kernel_dtypes([name]) == {}


@pytest.mark.parametrize("recipe", ["fp16", "fp16_amp_scaled", "bf16", "bf16_amp", "fp8"])
def test_a_name_of_16_bits_contradicts_no_recipe_of_16_bits(recipe: str) -> None:
    refuse_kernels(RECIPES[recipe], [SDPA])


@pytest.mark.parametrize("recipe", ["fp32", "tf32"])
def test_a_name_of_16_bits_contradicts_a_recipe_of_32(recipe: str) -> None:
    with pytest.raises(RuntimeError, match=f"a kernel of 16 bit ran under a recipe of {recipe}: cudnn_generated"):
        refuse_kernels(RECIPES[recipe], [SDPA])


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("bf16_amp", "nvjet_sm90_hsh_128x256_64x4_2x1_v_bz_coopA_TNN"),
        ("fp16_amp", "nvjet_sm90_tst_192x192_64x3_2x1_v_bz_coopB_NTN"),
        ("fp32", "nvjet_sm90_sss_128x256_32x4_2x1_v_bz_TNT"),
        ("tf32", "nvjet_sm90_tss_64x8_64x16_4x1_v_bz_splitK_TNT"),
        ("bf16_amp", "nvjet_sm90_qqtst_128x128_128x6_1x2_h_bz_ovscale_TNT"),
        ("bf16", FLASH.format("half_t", "half_t")),
        ("fp32", GEMV.format("__half")),
    ],
)
def test_a_kernel_of_another_dtype_is_a_contradiction(recipe: str, name: str) -> None:
    with pytest.raises(RuntimeError, match="dtype check: a kernel of"):
        refuse_kernels(RECIPES[recipe], [name])


def test_what_ends_a_split_product_and_what_a_model_wants_in_fp64_contradict_nothing() -> None:
    parts = [name for name, dtype in PRODUCTS.items() if dtype in ("unknown", "fp64", "int8")]
    for recipe in RECIPES.values():
        refuse_kernels(recipe, parts)
    assert kernels_contradict({"a": "16 bit", "b": "unknown"}, "bf16") is None


def test_a_record_names_kernels_whole_and_one_of_each_dtype_first() -> None:
    many = [f"nvjet_sm90_tst_{n}x192_64x3_2x1_v_bz_NTN" for n in range(9)]
    names = [*many, DEPTHWISE.format("float"), "nvjet_sm90_qqtst_128x128_128x6_TNT"]
    refuse_kernels(RECIPES["fp8"], names)
    named = kernels_seen(names).split("; ")
    assert named[1] == "at::native::(anonymous namespace)::conv_depthwise2d_forward_kernel<3, float, int>:fp32"
    assert named[2] == "nvjet_sm90_qqtst_128x128_128x6_TNT:fp8"
    assert len(named) == 8


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (FLASH.format("half_t", "half_t"), FLASH.format("half_t", "half_t")[5:].partition("(")[0]),
        (
            "void cudnn::cnn::conv2d_grouped_direct_kernel<false, (int)2, __half>(cudnnTensor, float (*)(int))",
            "cudnn::cnn::conv2d_grouped_direct_kernel<false, (int)2, __half>",
        ),
        (
            "void foo_gemm<(anonymous namespace)::Traits<(bool)1> >(int)",
            "foo_gemm<(anonymous namespace)::Traits<(bool)1> >",
        ),
        ("ampere_sgemm_32x128_tn", "ampere_sgemm_32x128_tn"),
        ("void cutlass::Kernel2<cutlass_80_simt_sgemm_12", "cutlass::Kernel2<cutlass_80_simt_sgemm_12"),
    ],
)
def test_a_name_in_a_record_is_cut_at_its_parameters_alone(name: str, shown: str) -> None:
    assert kernels_seen([name]).rpartition(":")[0] == shown
