"""The untimed passes, after the timed steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ampbench.bench.measure.kernels import is_matmul_or_conv, kind_of_kernel
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.training import Training
from ampbench.bench.worker.outcome import Outcome
from ampbench.bench.worker.passes import profile
from ampbench.bench.worker.passes.passes import Passes
from ampbench.bench.worker.passes.phases import time_phases
from ampbench.schema.column import values_of
from ampbench.schema.speed import Speed
from ampbench.schema.traces import Traces

CPU = torch.device("cpu")


def training(recipe: str = "bf16_amp", **fields: Any) -> Training:
    values = {"model": "tests.support.tiny:Net", "image_size": 8, "num_threads": 1} | fields
    cell = Cell(data="digits", precision=RECIPES[recipe], batch_size=64, epochs=1, **values)  # type: ignore[arg-type]
    return Training(cell, load_images("digits", values["image_size"]), CPU)


def take_passes(
    subject: Training,
    protocol: MeasurementProtocol,
    speed: Speed = Speed(),  # noqa: B008
) -> tuple[dict[str, Any], Traces]:
    """Return the columns that are known after the passes, and the traces."""
    outcome = Outcome()
    outcome.measured.speed = speed
    next(subject.endless_steps())
    Passes(subject, protocol, outcome, None).take()
    groups = values_of(outcome.measured).values()
    return {k: v for group in groups for k, v in values_of(group).items() if v is not None}, outcome.traces


@pytest.mark.parametrize("recipe", ["fp32", "bf16_amp_scaled"])
def test_phases_are_marked_inside_the_step_that_trains(recipe: str) -> None:
    subject = training(recipe)
    before = [w.detach().clone() for w in subject.weights.values()]
    phases = time_phases(subject)
    assert all(ms > 0 for ms in values_of(phases).values())
    assert any(not torch.equal(a, b) for a, b in zip(before, subject.weights.values(), strict=True))


def test_the_passes_count_operations_and_names_what_the_step_waits_for() -> None:
    protocol = MeasurementProtocol(passes=("phases", "roofline"))
    row, _ = take_passes(training(), protocol, Speed(images_per_s=1000.0, step_ms=64.0))
    first = 2 * 64 * 8 * 27
    assert row["forward_flops"] == first + 2 * 128 * 10
    assert row["backward_flops"] == first + 2 * 2 * 128 * 10
    assert row["tflops"] == pytest.approx((row["forward_flops"] + row["backward_flops"]) * 1e-9)
    assert row["mfu_measured"] == pytest.approx(row["tflops"] / row["measured_peak_tflops"])
    assert "mfu_vendor" not in row
    assert row["bound"] in ("input", "compute", "memory")
    assert 0 < row["matmul_conv_share"] < 1


def test_without_passes_only_the_count_is_taken() -> None:
    row, _ = take_passes(training(), MeasurementProtocol(passes=()), Speed(images_per_s=1000.0))
    assert row["forward_flops"]
    assert row["weights_bytes"]
    assert not row.keys() & {"data_ms", "matmul_conv_share", "bound", "measured_peak_tflops", "allocator_peak_bytes"}


@pytest.mark.whole
@pytest.mark.parametrize(("model", "recipe"), [("SmallCifarNet", "fp32"), ("SmallCifarNet", "bf16_amp")])
def test_the_prediction_is_within_10_percent_of_what_the_allocator_handed_out(model: str, recipe: str) -> None:
    row, traces = take_passes(training(recipe, model=model, image_size=32), MeasurementProtocol(passes=("memory",)))
    assert row["predicted_peak_bytes"] == pytest.approx(row["allocator_peak_bytes"], rel=0.1)
    static = sum(row[f"{part}_bytes"] for part in ("weights", "gradients", "optimizer", "buffers"))
    assert static < row["allocator_peak_bytes"] == max(level.allocated_bytes for level in traces.memory)


def test_what_cannot_be_counted_is_null_and_the_cell_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """The operations of a network that reads values cannot be counted by shapes alone."""
    subject = training(model="tests.support.tiny:LooksAtValues")
    row, _ = take_passes(subject, MeasurementProtocol(passes=()), Speed(images_per_s=1000.0))
    assert row.get("forward_flops") is None
    assert "no count of operations" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "multiplies"),
    [
        ("aten::mkldnn_convolution", True),
        ("aten::convolution_backward", True),
        ("aten::addmm", True),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", True),
        ("aten::addmv", True),
        ("aten::_addmm_activation", True),
        ("aten::mkldnn_rnn_layer", True),
        ("mkldnn::_linear_pointwise", True),
        ("aten::_convert_indices_from_coo_to_csr", False),
        ("aten::add_", False),
        ("aten::mean", False),
        ("aten::native_batch_norm_backward", False),
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc", True),
        ("void cudnn::bn_fw_tr_1C11_kernel_NCHW<float, float, int, 512, true, 1, true>", False),
        ("void cudnn::engines_precompiled::nchwToNhwcKernel<__nv_bfloat16>", False),
    ],
)
def test_a_product_is_told_from_a_normalisation_and_a_move(name: str, multiplies: bool) -> None:
    assert is_matmul_or_conv(name) is multiplies


def test_three_steps_are_profiled_after_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU has been idle before the profile, so its clock is low."""
    subject = training()
    profiler, step = torch.profiler.profile, subject.step
    profiling, profiled = [False], []

    class Watched(profiler):  # type: ignore[valid-type, misc]
        def __enter__(self) -> Any:
            profiling[0] = True
            return super().__enter__()

        def __exit__(self, *error: Any) -> None:
            super().__exit__(*error)
            profiling[0] = False

    def watched(*batch: Any) -> Any:
        profiled.append(profiling[0])
        return step(*batch)

    monkeypatch.setattr(torch.profiler, "profile", Watched)
    monkeypatch.setattr(subject, "step", watched)
    found = profile.profile_steps(subject)
    assert profiled == [False, True, True, True]
    assert any(is_matmul_or_conv(name) for name in found.names)


def test_a_profile_that_cannot_be_read_says_why_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its profiler has ended by then; to end it once more would raise something else."""
    monkeypatch.setattr(profile, "input_dtypes", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        profile.profile_steps(training())


def profiled(names: dict[str, float]) -> profile.ProfiledStep:
    """Return a profiled step of these kernels, all of the network."""
    kinds = profile.added((kind_of_kernel(name), s) for name, s in names.items())
    total = sum(names.values())
    return profile.ProfiledStep(
        names=names, network_names=names, kinds=kinds, parts={profile.NETWORK: total}, wall_s=2 * total
    )


def test_the_kernels_of_a_gpu_are_timed_by_the_median_step_too(monkeypatch: pytest.MonkeyPatch) -> None:
    product, norm = "nvjet_sm90_tst_192x192_64x3_2x1_v_bz_coopB_NTN", "void cudnn::bn_bw_1C11_kernel_new<float>(int)"
    times = ({product: 9e-3, norm: 9e-3}, {product: 3e-3, norm: 1e-3}, {product: 2e-3, norm: 1e-3})
    steps = iter(profiled(names) for names in times)
    subject, outcome = training(), Outcome()
    monkeypatch.setattr(subject, "device", torch.device("cuda"))
    monkeypatch.setattr(profile, "profile_step", lambda *_: next(steps))
    Passes(subject, MeasurementProtocol(passes=()), outcome, None).take()
    assert outcome.measured.bound.kernel_ms == pytest.approx(4.0)
    assert outcome.measured.bound.matmul_conv_share == pytest.approx(0.75)
    assert outcome.measured.dtypes.kernels == f"{product}:bf16"


def test_an_interruption_of_one_step_is_not_where_its_time_goes() -> None:
    step, stalled = {"aten::convolution": 0.2, "aten::relu": 0.1}, {"aten::convolution": 0.2, "aten::relu": 7.0}
    assert profile.typical([step, stalled, step]) == step
    assert profile.typical([step, step, {"aten::convolution": 0.2}])["aten::relu"] == 0.1


def test_a_snapshot_on_a_cpu_says_what_it_cannot_do_and_leaves_the_rest() -> None:
    row, traces = take_passes(training(), MeasurementProtocol(passes=("snapshot",)))
    assert row["memory_note"].startswith("No memory.pickle: torch keeps that history for the memory of a GPU only")
    assert "\n" not in row["memory_note"]
    assert traces.memory, "the time line of the memory is there all the same"
    assert not row.get("passes_failed")
