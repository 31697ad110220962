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
    "energy_to_accuracy_j": 12.0, "learning_note": "test accuracy swings",
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
    assert said[-3:] == [
        "Time: training 1.2 s, evaluation 0.1 s, all 1.7 s",
        "To 90.00%: 0.7 s, 12 J",
        "Note: test accuracy swings",
    ]


@pytest.mark.parametrize("status", [s for s in STATUSES if s not in ("ok", "excluded")])
def test_a_failed_run_says_status_reason_and_next_move(tmp_path: Path, status: str) -> None:
    said = lines(tmp_path, status, because="the loss is nan at step 7")
    assert said[0] == f"{status}: the loss is nan at step 7"
    assert said[1] == f"Next: {NEXT_MOVES[status]}"  # type: ignore[index]
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
