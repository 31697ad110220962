"""A training of two epochs on real images, to see that everything works together; its results are thrown away."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console

from ampbench.bench.auto.policies import Situation, fast_16_bit
from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.readiness.finding import Finding, Subject, failed, ok
from ampbench.bench.launch.sweep import sweep
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.flags import file_of, in_words_typed
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.image_cache import num_training_images
from ampbench.schema.files import RECORD

EPOCHS = 2
BATCH_SIZE = 64
"""All training images where they are fewer."""
SETTINGS = {"epochs": str(EPOCHS), "learning_rate": "0.05", "augment": "none"}


def train_two_epochs(subject: Subject) -> Finding:
    """Train the first model on the first data of `subject` in a worker of its own, as a matrix would.

    Raises:
        KeyboardInterrupt: a person interrupted.
    """
    model, (data, image_size) = subject.models[0], subject.data[0]
    recipe = str(fast_16_bit(Situation(hardware=subject.hardware)).value)
    batch_size = min(BATCH_SIZE, num_training_images(data) or BATCH_SIZE)
    typed = {"model": model, "batch_size": str(batch_size), "data": data, "image_size": str(image_size)} | SETTINGS
    # So small a network gains nothing from a second thread, and on a busy machine the two wait for one another.
    typed |= {"num_threads": "1" if model == "LeNet" else str(subject.hardware.usable_cores)}
    with tempfile.TemporaryDirectory(prefix="ampbench-check-") as place:
        try:
            plan = make_plan(parse_experiment(Path(place) / "check.toml", file_of("Does it train?", typed, recipe)))
            launcher = Local(gpus=subject.gpus, allow_shared=True)
            options = Options(results=Path(place), launcher=launcher, report=False)
            if sweep(plan, plan.cells, options, Console(file=io.StringIO())) == 130:
                raise KeyboardInterrupt
        except RequestError as e:
            return failed(in_words_typed(str(e)))
        run = Folder.of(plan, Path(place)).run_path(plan.cells[0])
        [row] = pq.read_table(run / RECORD).to_pylist()
        what = f"{model} on {data}, {EPOCHS} epochs in {recipe}"
        if row["status"] != "ok":
            return failed(f"{what}: {row['status']}: {row['because']}{_end_of_log(run, row['because'])}")
        said = f"loss {row['train_loss']:.3g}, {row['test_accuracy']:.0%} of {row['num_test_images']:,} test images"
        return ok(f"{what}: {said}, {row['cell_s']:.1f} s")


def _end_of_log(run: Path, because: str) -> str:
    """Say the last line that the worker wrote, for its log is thrown away too; nothing where the reason is that one."""
    try:
        lines = (run / "log.txt").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    last = lines[-1].strip() if lines else None
    if last == because:
        return ""
    return f"; its log ends with: {last}" if last else "; it wrote no log"
