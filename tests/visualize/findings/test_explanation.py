"""Why not faster, why not smaller, why NaN: the sentences are true of the numbers, and blame only what is large."""

from __future__ import annotations

from typing import Any

import pytest

from ampbench.schema.memory import MIB
from ampbench.schema.work import KINDS
from ampbench.visualize.findings import step_time, whys
from ampbench.visualize.findings.explanation import Explanation
from ampbench.visualize.judge.answer.answer import Answer
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.read.frame import Results, read
from tests.visualize.conftest import Folder, cell

PRODUCTS = "matrix products and convolutions"


def work(step_ms: float | None = None, **kinds: float) -> dict[str, float]:
    """Return the columns of a step of these kinds, in ms; what is not named is 0."""
    found = {one.name: kinds.get(one.name.removeprefix("work_").removesuffix("_ms"), 0.0) for one in KINDS}
    return found | {"step_ms": step_ms or sum(kinds.values()), "images_per_s": 128e3 / (step_ms or sum(kinds.values()))}


def memory(peak_mib: float, **parts: float) -> dict[str, Any]:
    """Return the columns of a split by arithmetic, in MiB."""
    names = ("weights", "gradients", "optimizer", "buffers", "autocast_cache", "data")
    split = {f"{name}_bytes": int(parts.get(name, 0) * MIB) for name in names}
    return split | {"steady_peak_bytes": int(peak_mib * MIB), "memory_instrument": "cuda_allocator"}


def results_of(
    folder: Folder, a: dict[str, Any], b: dict[str, Any], recipe: str = "bf16_amp", **status: str
) -> Results:
    for seed in range(2):
        folder.add(cell("fp32", 128, seed), **a)
        folder.add(cell(recipe, 128, seed), status.get("status", "ok"), **b)
    return read(folder.write())


def explained(results: Results, recipe: str = "bf16_amp") -> dict[str, Explanation]:
    return {one.topic: one for one in whys.explain(results, "fp32", recipe)}


def test_the_bars_sum_to_both_steps_and_amdahls_limit_is_said(folder: Folder) -> None:
    before = work(matmul_conv=80, normalisation=12, optimizer=8)
    after = work(matmul_conv=20, normalisation=11, optimizer=8, cast=1)
    why = explained(results_of(folder, before, after))["step time"]
    assert why.waterfall is not None
    assert (why.waterfall.total_a, why.waterfall.total_b) == pytest.approx((100, 40))
    assert why.sentence == (
        f"a step takes 40 ms in bf16_amp and 100 ms in fp32 (2.50x as fast): {PRODUCTS} take 20 ms instead of 80 (4.0x "
        "as fast), and 50 % of the step is other work (normalisation 28 %, optimizer and scaler 20 %); if they took no "
        "time at all, it would be 5.0x"
    )
    assert "casts" not in why.sentence, "3 % of a step are not to blame"
    assert "compile" in why.next_move


@pytest.mark.parametrize(
    ("kind", "label", "move"),
    [
        ("elementwise", "element-wise", "fuse"),
        ("normalisation", "normalisation", "fuse"),
        ("optimizer", "optimizer and scaler", "larger batch_size"),
        ("data", "data", "loader"),
        ("idle", "idle", "reduce-overhead"),
        ("cast", "casts", "16 bit"),
    ],
)
def test_the_kind_that_fills_a_step_is_the_one_that_is_blamed(kind: str, label: str, move: str, folder: Folder) -> None:
    why = explained(results_of(folder, work(matmul_conv=3, **{kind: 97}), work(matmul_conv=1, **{kind: 90})))[
        "step time"
    ]
    assert f"the rest is {label} 99 %" in why.sentence
    assert move in why.next_move


def test_a_slower_recipe_is_explained_by_what_was_added(folder: Folder) -> None:
    results = results_of(folder, work(matmul_conv=50, data=5), work(matmul_conv=45, cast=30, data=5))
    why = explained(results)["step time"]
    assert "(0.69x as fast): casts +30 ms, matrix products and convolutions -5 ms" in why.sentence
    assert "16 bit" in why.next_move


def test_products_that_are_no_faster_are_said_to_be_no_faster(folder: Folder) -> None:
    why = explained(results_of(folder, work(matmul_conv=90, data=10), work(matmul_conv=88, data=8)))["step time"]
    assert "they are not faster in bf16_amp on this machine" in why.sentence


def test_results_of_an_older_version_are_explained_by_their_phases(folder: Folder) -> None:
    phases = {"step_ms": 10.0, "data_ms": 1.0, "forward_ms": 3.0, "backward_ms": 5.0, "update_ms": 1.0}
    faster = phases | {"step_ms": 6.0, "forward_ms": 1.0, "backward_ms": 3.0}
    why = explained(results_of(folder, phases, faster))["step time"]
    assert why.waterfall is not None
    assert [bar.label for bar in why.waterfall.bars] == ["data", "forward", "backward", "update"]
    assert "run the file again" in why.next_move


def test_without_any_of_the_columns_the_next_move_is_the_line_that_asks_for_them(folder: Folder) -> None:
    found = explained(results_of(folder, {}, {}))
    assert found["step time"].next_move == 'set [measure] passes = ["phases"]'
    assert found["memory"].next_move == 'set [measure] passes = ["phases", "memory"]'
    assert "numerics_samples" in found["numbers"].next_move
    assert all(one.waterfall is None for one in found.values())


def test_the_line_of_an_answer_names_the_limit_and_what_it_consists_of(folder: Folder) -> None:
    before = work(matmul_conv=80, normalisation=12, optimizer=8)
    results = results_of(folder, before, work(matmul_conv=20, normalisation=22, optimizer=8))
    answer = Answer(subject="VGG19", machine="x", action="train", recipe="bf16_amp", batch_size=128, headline="")
    (told,) = whys.with_whys(results, [answer])
    assert [line.topic for line in told.lines] == ["why"]
    assert told.lines[0].text == (
        "why 2.0x and not 4.0x: 60 % of a step is not matrix products (normalisation 44 %, optimizer and scaler 16 %)"
    )


def test_the_line_of_an_answer_that_stays_says_why_the_other_is_no_faster(folder: Folder) -> None:
    results = results_of(folder, work(matmul_conv=50), work(matmul_conv=45, cast=30))
    answer = Answer(subject="VGG19", machine="x", action="stay", recipe="fp32", batch_size=128, headline="")
    assert whys.why_line(results, answer).startswith("why bf16_amp is no faster than fp32 (75 and 50 ms): casts +30 ms")


@pytest.mark.parametrize(
    ("fp32_ms", "bf16_ms", "is_said"),
    [((50, 51), (49, 50), True), ((50, 90), (91, 92), True), ((50, 90), (80, 99), False), ((41, 90), (45, 70), False)],
)
def test_why_it_is_no_faster_is_said_only_of_runs_that_tell(
    folder: Folder, fp32_ms: tuple[float, ...], bf16_ms: tuple[float, ...], is_said: bool
) -> None:
    for seed in range(2):
        folder.add(cell("fp32", 128, seed), **work(fp32_ms[seed], matmul_conv=40, cast=10))
        folder.add(cell("bf16_amp", 128, seed), **work(bf16_ms[seed], matmul_conv=35, cast=15))
    answer = Answer(subject="VGG19", machine="x", action="stay", recipe="fp32", batch_size=128, headline="")
    assert bool(whys.why_line(read(folder.write()), answer)) is is_said


def test_no_line_is_written_of_what_was_not_measured(folder: Folder) -> None:
    answer = Answer(subject="VGG19", machine="x", action="train", recipe="bf16_amp", batch_size=128, headline="")
    assert whys.with_whys(results_of(folder, {}, {}), [answer]) == [answer]


def test_memory_sums_to_both_peaks_and_names_what_did_not_shrink(folder: Folder) -> None:
    static = {"weights": 100, "gradients": 100, "optimizer": 200}
    why = explained(results_of(folder, memory(1000, **static), memory(850, autocast_cache=50, **static)))["memory"]
    assert why.waterfall is not None
    assert (why.waterfall.total_a, why.waterfall.total_b) == pytest.approx((1000, 850))
    assert why.sentence == (
        "bf16_amp peaks at 850 MiB and fp32 at 1,000 (15 % less): weights, gradients and optimizer state stay as large "
        "as in fp32 (400 MiB, 47 % of the peak), cast copies of the weights come on top (50 MiB), activations and "
        "workspace fall to 67 %, as if 33 % of them stayed in fp32"
    )


def test_on_a_cpu_the_resident_set_is_never_taken_for_the_memory_of_a_training(folder: Folder) -> None:
    static = {"weights": 10, "gradients": 10, "optimizer": 10}
    a, b = (memory(900, **static) | {"memory_instrument": "rss"} for _ in range(2))
    assert explained(results_of(folder, a, b))["memory"].waterfall is None
    a, b = a | {"allocator_peak_bytes": 100 * MIB}, b | {"allocator_peak_bytes": 65 * MIB}
    other = Folder(folder.path.parent / "y")
    why = explained(results_of(other, a, b))["memory"]
    assert why.waterfall is not None
    assert (why.waterfall.total_a, why.waterfall.total_b) == pytest.approx((100, 65))


@pytest.mark.parametrize(
    ("recipe", "over", "move"),
    [
        ("fp16", {"diverged_in": "forward"}, "65,504"),
        ("fp16", {"diverged_in": "update", "optimizer": "adam", "optimizer_impl": "foreach"}, "eps"),
        ("fp16_amp_scaled", {"diverged_in": "backward", "final_loss_scale": 65536.0}, "lower loss scale"),
        ("fp16_amp", {"diverged_in": "backward"}, "_scaled"),
        ("bf16", {"diverged_in": "forward"}, "learning_rate"),
    ],
)
def test_a_divergence_names_step_and_layer_and_what_fits_its_place(
    recipe: str, over: dict[str, Any], move: str, folder: Folder
) -> None:
    facts = {"diverged_step": 7, "diverged_loss": "nan", "diverged_layer": "features.0"} | over
    shared = {name: value for name, value in over.items() if name.startswith("optimizer")}
    why = explained(results_of(folder, shared, facts, recipe, status="diverged"), recipe)["numbers"]
    assert why.sentence == (
        f"{recipe} diverged in 2 of 2 processes, at step 7 with a loss of nan; the first non-finite tensor is in "
        f"features.0 ({over['diverged_in']})"
    )
    assert move in why.next_move


def test_where_the_reference_diverges_too_precision_is_not_blamed(folder: Folder) -> None:
    folder.add(cell("fp32", 128, 5), "diverged")
    why = explained(results_of(folder, {}, {"diverged_step": 7}, "fp16", status="diverged"), "fp16")["numbers"]
    assert "precision is not the cause" in why.sentence


def test_skipped_steps_are_told_with_the_course_of_the_loss_scale(folder: Folder) -> None:
    facts = {"num_steps": 100, "num_skipped": 60, "min_loss_scale": 1.0, "max_loss_scale": 65536.0}
    why = explained(results_of(folder, {}, facts, "fp16_amp_scaled"), "fp16_amp_scaled")["numbers"]
    assert "60 % of 100 steps were skipped, since gradients overflowed (loss scale 1 to 65536)" in why.sentence


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("fp32", "bf16_am", r"--b bf16_am: no cell of .* has this recipe\. Did you mean 'bf16_amp'\?"),
        ("nothing", "bf16_amp", r"--a nothing: no cell of .*Known: fp32, bf16_amp\."),
        ("fp32", "fp32", "a recipe is explained by another one; name two"),
    ],
)
def test_a_wrong_request_says_what_there_is(a: str, b: str, message: str, folder: Folder) -> None:
    with pytest.raises(ResultsError, match=message):
        whys.explain(results_of(folder, {}, {}), a, b)


def test_recipes_without_a_batch_size_in_common_are_refused_with_where_they_are(folder: Folder) -> None:
    folder.add(cell("fp32", 64))
    folder.add(cell("bf16_amp", 128))
    with pytest.raises(
        ResultsError, match=r"no batch size in common .*fp32: ok at batch 64; bf16_amp: ok at batch 128"
    ):
        whys.explain(read(folder.write()), "fp32", "bf16_amp")


def test_every_kind_of_work_has_a_next_move() -> None:
    assert {one.label for one in KINDS} == set(step_time.MOVES)


def test_zeros_and_nothing_are_explained_without_a_division(folder: Folder) -> None:
    zero = dict.fromkeys((one.name for one in KINDS), 0.0) | {"step_ms": 0.0, "images_per_s": 0.0}
    for one in whys.explain(results_of(folder, zero, zero), "fp32", "bf16_amp"):
        assert one.sentence
        assert "nan" not in one.sentence


def test_the_page_explains_the_fastest_recipe_and_whatever_diverged(folder: Folder) -> None:
    folder.add(cell("fp16", 128), "diverged", diverged_step=7)
    found = whys.of_page(results_of(folder, work(matmul_conv=9), work(matmul_conv=3)))
    assert [(one.b, one.topic) for one in found] == [
        ("bf16_amp", "step time"), ("bf16_amp", "memory"), ("bf16_amp", "numbers"), ("fp16", "numbers"),
    ]  # fmt: skip


def test_a_recipe_without_autocast_is_not_told_of_what_autocast_keeps(folder: Folder) -> None:
    static = {"weights": 1, "gradients": 1, "optimizer": 1}
    pure = memory(700, **static) | {"weights_dtype": "bf16", "compute_dtype": "bf16"}
    why = explained(results_of(folder, memory(1000, **static), pure))["memory"]
    assert why.next_move.startswith("find the layers that compute in fp32")
