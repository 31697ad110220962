"""The answer: its questions across batch sizes, the wishes, its words, and the file that settles the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.visualize import report
from ampbench.visualize.judge.answer.answer import MOST_LINES, answers, settle_names
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.decision.wishes import Wishes, parse_bytes, wishes_of
from ampbench.visualize.judge.verdict.verdict import judge
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.read.frame import read
from tests.visualize.conftest import Folder, cell

GIB = 2**30
TOML = """question = "Which is faster?"
[matrix]
precision  = ["fp32", "bf16_amp"]
batch_size = [128]
[fixed]
model         = "ResNet18"
data          = "{data}"
learning_rate = 0.05
augment       = ["crop", "flip", "cutout:16"]
epochs        = {epochs}
[measure]
rounds          = 3
target_accuracy = 0.9
[budget]
minutes_per_cell = 5
"""


def answered(path: Path, **wishes):
    """Return the answer for the only subject."""
    results = read(path)
    (found,) = answers(results, standings(results, judge(results.cells)), Wishes(**wishes))
    return found


def lines(answer, topic: str) -> list[str]:
    """Return the texts of one topic."""
    return [line.text for line in answer.lines if line.topic == topic]


def timed(folder: Folder, speeds: dict[tuple[str, int], float], **over) -> Path:
    """Write three rounds of each recipe and batch size at a speed; 0 is out of memory."""
    for (recipe, size), speed in speeds.items():
        for number in range(3):
            made = cell(recipe, size, epochs=0, round=number)
            about = speed * (1 + 0.002 * number)
            folder.add(made, "ok" if speed else "oom", **({"images_per_s": about if speed else None} | over))
    return folder.write()


ACROSS = {
    ("fp32", 128): 900.0,
    ("fp32", 256): 1000.0,
    ("fp32", 512): 0.0,
    ("bf16_amp", 128): 1600.0,
    ("bf16_amp", 256): 1900.0,
    ("bf16_amp", 512): 2600.0,
}


def test_three_questions_across_batch_sizes_are_each_answered(folder):
    found = answered(timed(folder, ACROSS))
    assert (found.action, found.recipe, found.batch_size) == ("train", "bf16_amp", 512)
    best, equal, memory = lines(found, "also")
    assert best.startswith("each at its best batch: bf16_amp at 512, 2.60x as fast as fp32 at batch 256")
    assert (
        equal == "at the same batch, bf16_amp against fp32: 128: 1.78x, 256: 1.90x, 512: no run of fp32 to compare with"
    )
    assert "that fp32 at batch 256 takes: bf16_amp at batch 256" in memory


def test_a_gain_at_the_best_batch_of_both_is_said_once(folder):
    found = answered(timed(folder, {name: speed for name, speed in ACROSS.items() if name[1] < 512}))
    assert (found.action, found.batch_size) == ("train", 256)
    assert lines(found, "also")[0] == "both are at their best at batch 256"
    assert sum("1.9" in line for line in lines(found, "gain")) == 1


def test_a_limit_of_memory_leaves_out_what_does_not_fit(folder):
    path = timed(folder, ACROSS)
    assert answered(path, max_memory_bytes=3 * GIB).batch_size == 256
    assert "no run ended well within 10 MiB" in answered(path, max_memory_bytes=10 * 2**20).headline


def test_memory_is_saved_at_the_batch_size_at_which_the_reference_is_fastest(folder):
    found = answered(
        timed(folder, {("fp32", 128): 1000.0, ("fp32", 64): 900.0, ("bf16_amp", 128): 990.0}), want="memory"
    )
    assert (found.action, found.batch_size) == ("train", 128)


def test_a_faster_recipe_at_a_batch_where_the_reference_is_slow_is_not_enough(folder):
    speeds = {("fp32", 64): 500.0, ("fp32", 512): 3000.0, ("bf16_amp", 64): 900.0}
    found = answered(timed(folder, speeds))
    assert (found.action, found.recipe, found.batch_size) == ("stay", "fp32", 512)


def test_what_was_not_measured_is_said_where_it_is_wanted(matrix):
    path = matrix(epochs=0, seeds=(0,))
    for want in ("energy", "time-to-accuracy"):
        assert "was not measured" in answered(path, want=want).headline


@pytest.mark.parametrize(
    "over", [{}, {"foreign_processes": 1, "warmup_steady": False, "timing_stop": "capped", "num_resumes": 1}]
)
def test_no_answer_is_long_and_no_headline_has_more_than_35_words(folder, over):
    batches = (16, 32, 64, 128, 256, 512, 1024, 2048)
    speeds = {(r, size): 1000.0 * k + size for k, r in enumerate(("fp32", "fp16", "bf16_amp"), 1) for size in batches}
    found = answered(timed(folder, speeds, **over))
    assert len(found.lines) <= MOST_LINES
    assert len(found.headline.split()) <= 35
    for line in found.lines:
        if line.topic not in ("settle", "health"):
            assert len(line.text.split()) <= 35, line.text


@pytest.mark.parametrize(("subjects", "expected"), [(2, 2), (5, 1)])
def test_many_subjects_of_one_recipe_each_share_an_answer(folder, subjects, expected):
    for epochs in range(1, subjects + 1):
        folder.add(cell("fp32", 128, 0, epochs=epochs))
    results = read(folder.write())
    found = answers(results, standings(results, judge(results.cells)))
    assert len(found) == expected
    assert all("nothing to compare" in one.headline and one.action == "stay" for one in found)


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [("24GiB", 24 * 2**30), ("16 GB", 16 * 10**9), ("800MiB", 800 * 2**20), ("1.5gib", 3 * 2**29), ("4096", 4096)],
)
def test_a_size_of_memory_is_read_with_its_unit(text, num_bytes):
    assert parse_bytes(text) == num_bytes


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (("fast", None, 0.3), "--want fast: choose one of speed, memory, energy, time-to-accuracy"),
        (("speed", "24 apples", 0.3), "--max-memory 24 apples: write a size with its unit"),
        (("speed", "0GiB", 0.3), "--max-memory 0GiB: "),
        (("speed", "-1GiB", 0.3), "--max-memory -1GiB: "),
        (("speed", "9" * 400, 0.3), "--max-memory 999"),
        (("speed", None, 0.0), "--margin 0: "),
        (("speed", None, float("nan")), "--margin nan: "),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused_in_a_line(wish, reason):
    with pytest.raises(ResultsError) as refused:
        wishes_of(*wish)
    assert str(refused.value).startswith(reason)


def planned(folder: Folder, *, epochs: int, data: str = "cifar10", points: tuple[float, ...] = (0.1, -0.2)) -> Path:
    """Write results with the plan that they came from: `points` apart in accuracy, or three rounds of timing."""
    fields = {"model": "ResNet18", "data": data, "learning_rate": 0.05, "augment": ("crop", "flip", "cutout:16")}
    cells = []
    for number in range(len(points) if epochs else 3):
        for recipe, speed in (("fp32", 1000.0), ("bf16_amp", 2000.0)):
            replicate = {"seed": number} if epochs else {"round": number}
            made = cell(recipe, 128, epochs=epochs, **fields, **replicate)
            accuracy = 0.93 + (points[number] / 100 if recipe == "bf16_amp" else 0) if epochs else None
            folder.add(made, images_per_s=speed * (1 + 0.002 * number), test_accuracy=accuracy)
            cells.append({"cell_id": made.cell_id, "run_folder": made.run_folder, **made.settings})
    folder.plan = {"toml": TOML.format(epochs=epochs, data=data), "cells": cells, "command": "", "question": "?"}
    return folder.write()


@pytest.mark.parametrize(
    ("epochs", "data", "said"),
    [
        (20, "cifar10", "accuracy within 0.3 points"),
        (0, "cifar10", "those of a usual training on CIFAR-10"),
        (0, "synthetic", "Random images have no accuracy"),
    ],
)
def test_the_file_that_settles_the_accuracy_is_an_experiment_with_the_cells_it_promises(folder, epochs, data, said):
    found = answered(planned(folder, epochs=epochs, data=data))
    settle = found.settle
    plan = make_plan(parse_experiment(Path("settle.toml"), settle.toml))
    assert len(plan.cells) == settle.num_trainings
    assert {one.precision.name for one in plan.cells} == {"fp32", "bf16_amp"}
    assert len({one.seed for one in plan.cells}) == settle.num_trainings / 2
    (fields,) = {(one.model, one.data, one.batch_size, one.learning_rate, one.augment) for one in plan.cells}
    assert fields == ("ResNet18", "cifar10", 128, 0.05, ("crop", "flip", "cutout:16"))
    assert {one.epochs for one in plan.cells} == {epochs or 200}
    assert said in settle.toml
    per_seed_h = 1.2 * (epochs or 200) * 50_000 * (1 / 1002 + 1 / 2004) / 3600
    assert settle.hours == pytest.approx(per_seed_h * settle.num_trainings / 2, rel=0.01)
    assert plan.experiment.protocol.target_accuracy == 0.9
    assert plan.experiment.budget.minutes_per_cell >= 5
    (line,) = lines(found, "settle")
    assert line.startswith("to settle accuracy within 0.3 points: python bench/run_matrix.py ")
    assert f"({settle.num_trainings} trainings, about " in line


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_speed_that_is_open_is_settled_by_more_rounds(exclusive, folder):
    for number, ratio in enumerate((0.99, 1.1, 1.15)):
        made = [cell(r, 128, epochs=0, round=number, model="ResNet18", data="synthetic") for r in ("fp32", "bf16_amp")]
        for one, speed in zip(made, (1000.0, 1000.0 * ratio), strict=True):
            folder.add(one, images_per_s=speed, cell_s=36.0, exclusive=exclusive)
    cells = [{"cell_id": one["cell_id"], "epochs": 0, "batch_size": 128, "model": "ResNet18", "data": "synthetic"}
             for one in folder.rows["cells"]]  # fmt: skip
    folder.plan = {"toml": TOML.format(epochs=0, data="synthetic"), "cells": cells}
    found = answered(folder.write())
    settle = found.settle
    (line,) = lines(found, "settle")
    assert (" --exclusive (" in line) == exclusive, "cells of both settings are not compared"
    plan = make_plan(parse_experiment(Path("settle.toml"), settle.toml))
    assert len(plan.cells) == settle.num_trainings > 6
    assert {one.epochs for one in plan.cells} == {0}
    assert settle.hours == pytest.approx(settle.num_trainings * 0.01)


def test_the_report_keeps_the_file_up_to_date_until_a_person_changes_it(folder):
    path = planned(folder, epochs=20)
    file = path / "settle.toml"
    report.write_report(path, words_only=True)
    written = file.read_text()
    assert f"{file}" in (path / "summary.txt").read_text().replace("\n    ", "").replace(" ", "") or "settle" in written
    report.write_report(path, words_only=True, wishes=Wishes(margin_points=0.5))
    assert file.read_text() != written, "the margin is another one"
    file.write_text(mine := file.read_text() + "# mine\n")
    report.write_report(path, words_only=True)
    assert file.read_text() == mine


def test_a_question_that_is_settled_leaves_no_file(folder):
    path = planned(folder, epochs=20, points=(0.0, 0.01, -0.01, 0.0, 0.01, -0.01))
    (path / "settle.toml").unlink(missing_ok=True)
    report.write_report(path, words_only=True)
    assert answered(path).settle is None
    assert not (path / "settle.toml").exists()


def test_several_subjects_have_a_file_each():
    names = settle_names(["a/b", "a b", "x" * 300])
    assert len(set(names.values())) == 3
    assert max(map(len, names.values())) < 100
    assert settle_names(["VGG19"]) == {"VGG19": "settle.toml"}
