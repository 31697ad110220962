"""What was found for a person who typed little: the settings with their reasons, and every rung by all its recipes.

    Batch    256: 97 % of the best images/s; 512 gives 3 % more
    Speed    bf16_amp 1.7x, fp16_amp_scaled 0.1x of fp32; decided after 4 rounds

Only of a folder with `choices.json`; in other folders a person chose, and the answer stands alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ampbench.schema.choices import Choice, read_choices
from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.judge.phrases import in_short
from ampbench.visualize.judge.verdict.ladder import NAMES, Rung
from ampbench.visualize.read.frame import Results

HEADS = {
    "device": "Machine",
    "model": "Model",
    "data": "Data",
    "recipes": "Recipes",
    "batch_size": "Batch",
    "largest_batch_size": "Largest",
    "loader": "Loader",
    "num_workers": "Workers",
    "learning_rate": "Rate",
    "precision": "Precision",
    "layers": "Layers",
}
"""Field -> the word that begins its line, in the order of the lines; of another one, its name."""
RUNGS: tuple[Rung, ...] = (1, 2, 3)
"""The last rung, the end of trainings, is what remains open."""


class Line(NamedTuple):
    """One line: what it is about, and what was found."""

    head: str
    text: str


def lines_of(results: Results, rows: Sequence[Standing]) -> list[Line]:
    """Return the settings that were found, the network, and what each rung says; none without choices."""
    choices = read_choices(results.folder)
    if not choices:
        return []
    skipped = {NAMES[rung] for rung in RUNGS}
    for_all = {one.field for one in choices if not one.subject}
    own = [one for one in choices if one.field not in skipped and (not one.subject or one.field not in for_all)]
    own.sort(key=lambda one: list(HEADS).index(one.field) if one.field in HEADS else len(HEADS))
    found = [Line(HEADS.get(one.field, one.field), _words(one)) for one in own]
    place = 1 + max((i for i, line in enumerate(found) if line.head == HEADS["device"]), default=-1)
    found[place:place] = _network(results)
    why_not = {one.field: one.reason for one in choices if one.field in skipped and one.value is None}
    for rung in RUNGS:
        if said := why_not.get(NAMES[rung]):  # what was left out is not what a timing left behind
            found.append(Line(NAMES[rung].capitalize(), said))
            continue
        for subject in results.subjects:
            said = _by_recipe([row for row in rows if row.subject == subject], rung)
            of = f"{subject}: " if len(results.subjects) > 1 else ""
            found += [Line(NAMES[rung].capitalize(), of + said)] if said else []
    return found


def _words(choice: Choice) -> str:
    of = f" of {choice.subject}" if choice.subject else ""
    given = " (given)" if choice.by == "user" else ""
    return f"{choice.shown}{of}{given}" + (f": {choice.reason}" if choice.reason and choice.by != "user" else "")


def _network(results: Results) -> Iterable[Line]:
    """Yield a line about the network and one about the images, as the first cell that ran knew them."""
    ran = results.cells[results.cells["num_parameters"].notna()] if "num_parameters" in results.cells else None
    if ran is None or ran.empty:
        return
    one = ran.iloc[0]
    size = int(one["resize"] or one["image_size"])
    classes = f", {one['num_classes']:.0f} classes" if one.get("num_classes", 0) > 0 else ""
    yield Line("Model", f"{one['model']}, {one['num_parameters']:,.0f} parameters, 3x{size}x{size}{classes}")
    if one.get("num_train_images", 0) > 0:
        yield Line("Data", f"{one['data']}, {one['num_train_images']:,.0f} training images")


def _by_recipe(rows: Sequence[Standing], rung: Rung) -> str:
    """Return what a rung says of every recipe of a subject."""
    words = []
    for row in rows:
        step = next((step for step in row.evidence.steps if step.rung == rung), None)
        verdict = row.verdict
        if step is None or verdict is None:
            if rung == 1 and row.measured.status != "ok":
                words.append(f"{row.recipe} {row.measured.status}")
            continue
        if rung > 1:
            words.append(f"{row.recipe}: {step.text}")
        else:
            seems = "seems " if verdict.speed.verdict == "can't tell" else ""
            words.append(f"{row.recipe} {seems}{in_short(verdict.speed, verdict.reference)}")
    return "; ".join(words)
