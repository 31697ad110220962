"""What one run found, in lines: its results on the test set, its speed, its memory, its time; or why it has none."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.store.final import lines_of_run
from ampbench.bench.store.own_records import records_of_run
from ampbench.schema.diagnosis import Records, diagnoses_of
from ampbench.schema.diagnosis.signs import signs_of
from ampbench.schema.files import BEST, FINAL, RECORD
from ampbench.schema.memory import CPU_ALLOCATOR, INSTRUMENTS, MIB
from ampbench.schema.statuses import Status

NEXT_MOVES: dict[Status, str] = {
    "oom": "a smaller --batch-size, or a 16-bit --dtype, takes less memory",
    "timeout": "a larger --minutes-per-cell gives it more time, and the same command goes on from its last checkpoint",
    "unsupported": "name another --precision, or run it on other hardware",
    "pruned": "it fell behind the other trials of its search; without a [search] the same settings run to their end",
    "crashed": "correct what log.txt shows, and give the same command again",
    "failed": "correct what log.txt shows, and give the same command again",
}
"""Status -> what a person can do, where no diagnosis says it."""


def lines_of_result(folder: Path) -> list[str]:
    """Return the numbers of the run in a folder, a line each; of a failed one its status, reason and next move."""
    try:
        [row] = pq.read_table(folder / RECORD).to_pylist()
    except (OSError, pa.ArrowException, ValueError):
        return [f"no record that can be read in {folder}; give the same command again"]
    run = records_of_run(folder, row)
    if row["status"] == "ok":
        return [*lines_of_run(folder), *_measured(row), *_kept(folder, row), *_diagnosed(run)]
    if told := list(_diagnosed(run)):
        return [*told, f"Log: {folder / 'log.txt'}"]
    move = NEXT_MOVES.get(row["status"])
    lines = [f"{row['status']}: {row.get('because') or 'no reason was recorded'}"]
    return [*lines, *([f"Next: {move}"] if move else []), f"Log: {folder / 'log.txt'}"]


def how_to_compare(folder: Path, model: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the line that says how a run is compared with the others of its model, of all `rows` of a folder."""
    others = sum(row["model"] == model for row in rows) - 1
    if others < 1:
        return "To compare it: run it again in another --precision; this command adds to the same folder."
    runs = "run" if others == 1 else f"{others} runs"
    command = shlex.join(["python", "-m", "ampbench", "report", str(folder), "--only", f"model={model}"])
    return f"To compare it with the other {runs} of {model}: {command}"


def _measured(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a record holds besides the results on the test set."""
    if row.get("best_epoch") is not None:
        yield f"Best epoch: {row['best_epoch']}, best accuracy: {row['best_test_accuracy']:.2%}"
    if row.get("train_loss") is not None:
        accuracy = row.get("train_accuracy")
        yield f"Training loss: {row['train_loss']:.4f}" + ("" if accuracy is None else f", accuracy: {accuracy:.2%}")
    yield _speed(row)
    for column, name in (("allocator_peak_bytes", CPU_ALLOCATOR), ("steady_peak_bytes", row.get("memory_instrument"))):
        if row.get(column) is not None:
            instrument = INSTRUMENTS.get(str(name), "")
            yield f"Memory: {row[column] / MIB:,.0f} MiB at most in a step, {instrument}".rstrip(", ")
            break
    if row.get("joules_per_image") is not None:
        yield f"Energy: {1e3 * row['joules_per_image']:.3g} mJ per image"
    if row.get("bound"):
        because = f" ({row['bound_because']})" if row.get("bound_because") else ""
        yield f"Limited by: {row['bound']}{because}"
    named = {"train_s": "training", "evaluation_s": "evaluation", "cell_s": "all"}
    parts = [f"{words} {row[name]:,.1f} s" for name, words in named.items() if row.get(name) is not None]
    if parts:
        yield f"Time: {', '.join(parts)}"
    if row.get("time_to_accuracy_s") is not None:
        energy = row.get("energy_to_accuracy_j")
        target = f"{row['target_accuracy']:.2%}" if row.get("target_accuracy") is not None else "the target"
        yield f"To {target}: {row['time_to_accuracy_s']:,.1f} s" + ("" if energy is None else f", {energy:,.0f} J")


def _diagnosed(run: Records) -> Iterator[str]:
    """Yield the signs of success of a training, and what is wrong with it: with its rows and the next thing to try."""
    signs = signs_of(run) if run.of("status") == "ok" else ()
    if signs:
        yield f"Signs of success: {'; '.join(map(str, signs))}"
    head = "Diagnosis: " if run.of("status") == "ok" else ""  # else the sentence begins with the status
    for one in diagnoses_of(run):
        yield f"{head}{one.sentence} ({'; '.join(map(str, one.rows))})"
        yield f"Next: {one.next_move}"


def _kept(folder: Path, row: Mapping[str, Any]) -> Iterator[str]:
    """Yield where the weights are that a run kept, and the command that writes its epochs as JSON."""
    for name, what in ((BEST, "Best weights"), (FINAL, "Last weights")):
        if (folder / name).is_file():
            yield f"{what}: {folder / name}"
    if row.get("epochs"):
        only = ["--only", f"cell_id={row['cell_id']}"]
        command = ["python", "-m", "ampbench", "export", str(folder.parent.parent), "--table", "epochs", *only]
        yield f"History of its epochs: {shlex.join([*command, '--format', 'json', '--out', 'training_history.json'])}"


def _speed(row: Mapping[str, Any]) -> str:
    if row.get("images_per_s") is None:
        return f"Speed: not measured ({row.get('no_speed_because') or 'no reason was recorded'})"
    low, high, step = (row.get(name) for name in ("images_per_s_q1", "images_per_s_q3", "step_ms"))
    quartiles = "" if low is None or high is None else f" (half of the samples within {low:,.0f} to {high:,.0f})"
    return f"Speed: {row['images_per_s']:,.0f} images/s{quartiles}" + (
        "" if step is None else f", {step:,.3g} ms a step"
    )
