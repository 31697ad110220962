"""A run by flags ends with its own numbers, whatever it measured and however it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampbench.bench.store.own_result import NEXT_MOVES, how_to_compare, lines_of_result
from ampbench.bench.store.tables import schema
from ampbench.schema.statuses import STATUSES

TIMED: dict[str, Any] = {
    "images_per_s": 12_149.4, "images_per_s_q1": 12_100.0, "images_per_s_q3": 12_200.0, "step_ms": 5.271,
    "steady_peak_bytes": 491 * 2**20, "memory_instrument": "cuda_allocator", "bound": "memory",
    "bound_because": "it moves 2 TB/s", "cell_s": 1.7, "joules_per_image": 0.0125,
}  # fmt: skip
TRAINED: dict[str, Any] = TIMED | {
    "num_test_images": 360, "test_loss": 0.1129, "test_accuracy": 0.9667, "macro_precision": 0.9681,
    "macro_recall": 0.9664, "macro_f1": 0.9666, "best_epoch": 8, "best_test_accuracy": 0.9696, "train_loss": 0.0224,
    "train_accuracy": 0.9953, "train_s": 1.2, "evaluation_s": 0.1, "target_accuracy": 0.9, "time_to_accuracy_s": 0.7,
    "energy_to_accuracy_j": 12.0,
}  # fmt: skip


def lines(tmp_path: Path, status: str = "ok", **values: Any) -> list[str]:
    row = {"status": status, **values}
    pq.write_table(pa.Table.from_pylist([row], schema=schema("cells")), tmp_path / "record.parquet")
    return lines_of_result(tmp_path)


def test_a_timing_says_speed_memory_and_what_limits_it(tmp_path: Path) -> None:
    assert lines(tmp_path, **TIMED) == [
        "Speed: 12,149 images/s (half of the samples within 12,100 to 12,200), 5.27 ms a step",
        "Memory: 491 MiB at most in a step, by torch's CUDA allocator",
        "Energy: 12.5 mJ per image",
        "Limited by: memory (it moves 2 TB/s)",
        "Time: all 1.7 s",
    ]


def test_a_training_says_what_it_learned_and_how_long_it_took_too(tmp_path: Path) -> None:
    said = lines(tmp_path, **TRAINED)
    assert said[:8] == [
        "Total samples: 360", "Mean loss: 0.1129", "Accuracy: 0.9667", "Macro precision: 0.9681",
        "Macro recall: 0.9664", "Macro F1: 0.9666", "Best epoch: 8, best accuracy: 96.96%",
        "Training loss: 0.0224, accuracy: 99.53%",
    ]  # fmt: skip
    assert said[-2:] == ["Time: training 1.2 s, evaluation 0.1 s, all 1.7 s", "To 90.00%: 0.7 s, 12 J"]


def test_a_training_ends_with_its_signs_of_success_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    percents = (45.2, 38.9, 51.3, 33.1)
    epochs = [
        {"cell_id": "x", "epoch": i + 1, "test_accuracy": share / 100, "train_loss": 2 - 0.3 * i, "learning_rate": 0.1,
         "planned_learning_rate": 0.1}
        for i, share in enumerate(percents)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(epochs, schema=schema("epochs")), tmp_path / "epochs.parquet")
    said = lines(tmp_path, epochs=4, data="cifar10", num_classes=10, num_test_images=10_000, test_accuracy=0.331)
    signs, swings, move = said[-3:]
    assert signs == (
        "Signs of success: stable memory: not known (it takes 7 epochs in one process); falling loss: yes (2 to 1.1); "
        "85 % by epoch 30: not known (51.3 % in 4 epochs); learning rate on plan: yes (in 4 epochs); no error: yes"
    )
    assert swings.startswith("Diagnosis: test accuracy swings: 45.2 38.9 51.3 33.1 %, it loses 8.2 points")
    assert swings.endswith("(epochs 1 to 4: test_accuracy)")
    assert move == "Next: try a learning rate three times smaller, or a larger batch size"


def test_lost_updates_of_a_run_are_weighed_by_the_size_of_its_layers(tmp_path: Path) -> None:
    place = {"cell_id": "x", "depth": 0, "tensor": "gradient"}
    rows = [
        place | {"step": 3 * epoch, "epoch": epoch, "layer": layer, "quantity": quantity, "value": value}
        for epoch, shift in ((0, -0.2), (3, 0.0))
        for layer, size, share in (("a", 100.0, 0.3), ("b", 300.0, 0.9))
        for quantity, value in (("num_entries", size), ("unmoved_share", share + shift))
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema("layers")), tmp_path / "layers.parquet")
    said = lines(tmp_path, **TIMED, weights_dtype="bf16", update="nearest")
    assert "stands still by lost updates: at the last sample a step leaves 75 % of the weights" in said[-2]
    assert "(layers 9: unmoved_share, num_entries)" in said[-2]


@pytest.mark.parametrize("status", [s for s in STATUSES if s not in ("ok", "excluded")])
def test_a_failed_run_says_status_reason_and_next_move(tmp_path: Path, status: str) -> None:
    said = lines(tmp_path, status, because="the loss is nan at step 7")
    assert said[0].startswith(f"{status}: the loss is nan at step 7")
    diagnosed = {"diverged": "Next: try a learning rate", "throttled": "Next: let the board cool"}
    assert said[1].startswith(diagnosed.get(status) or f"Next: {NEXT_MOVES[status]}")  # type: ignore[index]
    assert said[2] == f"Log: {tmp_path / 'log.txt'}"


def test_a_record_with_nothing_in_it_says_so(tmp_path: Path) -> None:
    assert lines(tmp_path) == ["Speed: not measured (no reason was recorded)"]
    (tmp_path / "record.parquet").write_bytes(b"PAR1")
    assert lines_of_result(tmp_path) == [f"no record that can be read in {tmp_path}; give the same command again"]


def test_runs_of_one_model_are_compared_by_a_command_that_can_be_pasted() -> None:
    rows = [{"model": "a b"}, {"model": "a b"}, {"model": "c"}]
    said = how_to_compare(Path("/x y/run_one"), "a b", rows)
    assert (
        said == "To compare it with the other run of a b: python -m ampbench report '/x y/run_one' --only 'model=a b'"
    )
    assert "another --precision" in how_to_compare(Path("x"), "c", rows)
