"""Known failures are recognised by their pattern; other failures are not."""

from __future__ import annotations

from ampbench.visualize.findings.failures import explanations
from ampbench.visualize.read.frame import read
from tests.visualize.conftest import Folder, cell


def add(
    folder: Folder, recipe: str, batch_size: int, *, learns: bool, diverges: bool = False, **fields: object
) -> None:
    pure = recipe == "fp16"
    folder.add(
        cell(recipe, batch_size, **fields),
        "diverged" if diverges else "ok",
        num_classes=10,
        weights_dtype="fp16" if pure else "fp32",
        update="nearest",
        **({} if diverges else {"test_accuracy": 0.9 if learns else 0.1}),
    )


def test_pure_fp16_under_unfused_adam_is_explained_by_its_epsilon(folder: Folder) -> None:
    add(folder, "fp16", 64, learns=False, diverges=True, optimizer="adam", optimizer_impl="foreach")
    add(folder, "fp16", 128, learns=False, optimizer="adam", optimizer_impl="foreach")
    add(folder, "fp16", 64, learns=True, optimizer="adam", optimizer_impl="fused")
    add(folder, "fp16", 64, learns=True, optimizer="sgd", optimizer_impl="foreach")
    (said,) = explanations(read(folder.write()))
    assert said.startswith("2 of 2 cells of pure fp16 with foreach Adam learn nothing: its eps of 1e-8 is 0 in fp16")
    assert said.endswith("fused, 1 of 1 trained here.")


def test_adam_that_trains_and_fp32_that_fails_are_not_blamed_on_it(folder: Folder) -> None:
    add(folder, "fp16", 64, learns=True, optimizer="adam", optimizer_impl="foreach")
    add(folder, "fp32", 128, learns=False, optimizer="adam", optimizer_impl="foreach")
    add(folder, "fp16", 128, learns=False, optimizer="adam", optimizer_impl="foreach")
    assert explanations(read(folder.write())) == []


def test_what_learned_nothing_is_what_the_record_says(folder: Folder) -> None:
    adam = {"optimizer": "adam", "optimizer_impl": "foreach"}
    for batch_size, accuracy, learned in ((64, 0.3, False), (128, 0.12, True), (256, 0.12, None), (512, 0.1, None)):
        folder.add(
            cell("fp16", batch_size, **adam),
            num_classes=10,
            weights_dtype="fp16",
            update="nearest",
            test_accuracy=accuracy,
            learned=learned,
        )
    (said, *_) = explanations(read(folder.write()))
    assert said.startswith("2 of 4 cells of pure fp16"), "0.3 of unequal classes is nothing; 0.12 of 10,000 is no luck"


def test_small_batches_that_fail_at_a_rate_that_larger_ones_bear_are_explained_by_noise(folder: Folder) -> None:
    for recipe in ("fp32", "bf16_amp"):
        for batch_size in (1, 4, 8, 16, 32):
            add(folder, recipe, batch_size, learns=batch_size > 8, diverges=batch_size == 4)
    (said,) = explanations(read(folder.write()))
    assert (
        "learns nothing in fp32 at batch 1, 4, 8; bf16_amp at batch 1, 4, 8, but learns at every larger batch" in said
    )
    assert "0.01" in said
    assert said.endswith("fp32 fails too, so precision is not the cause.")


def test_a_failure_between_batches_that_train_is_not_explained_by_noise(folder: Folder) -> None:
    for batch_size in (16, 32, 64):
        add(folder, "bf16_amp", batch_size, learns=batch_size != 32, diverges=batch_size == 32)
    assert explanations(read(folder.write())) == []
