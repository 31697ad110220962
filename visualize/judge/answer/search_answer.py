"""The answer of a search: the best setting over reruns, how sure that is, and what the luckiest trial seemed to be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from ampbench.schema.search import SearchRecord, Setting, Settled
from ampbench.visualize.judge.answer.answer import Answer, Line
from ampbench.visualize.read.frame import Results


def search_answers(results: Results, found: dict[str, Settled], words: dict[str, str]) -> list[Answer]:
    """Return an answer for each study of a search.

    Args:
        results: of its folder.
        found: study -> what it found.
        words: study -> what is said of the importance of its settings; empty for nothing.
    """
    return [_answer(results, study, own, words.get(study, "")) for study, own in found.items()]


def _answer(results: Results, study: str, found: Settled, words: str) -> Answer:
    record = results.search
    assert record is not None, "a study is of a search"
    machine = " / ".join(results.ok["machine"].dropna().unique())
    model = " / ".join(results.cells["model"].unique())
    where = f"{model}{f', {study}' if study else ''}" + (f" on {machine}" if machine else "")
    lines = [Line(topic="health", text=_endings(results, record, study))]
    if found.best is None:
        headline = f"{where}: no trial ended with a {record.objective}."
        return Answer(
            subject=study or model, machine=machine, action="none", recipe="", batch_size=None, headline=headline,
            lines=tuple(lines),
        )  # fmt: skip
    best = found.best
    headline = f"{where}: train with {_setting(best)}."
    lines = [
        Line(topic="gain", text=_worth(record, best)),
        *(Line(topic="evidence", text=text) for text in _doubts(record, found)),
        *([Line(topic="why", text=words)] if words else []),
        *lines,
    ]
    recipe = next(iter(results.cells.loc[results.cells["cell_id"] == best.trial.cell_id, "recipe"]), "")
    return Answer(
        subject=study or model, machine=machine, action="train", recipe=str(recipe), batch_size=None,
        headline=headline, lines=tuple(lines),
    )  # fmt: skip


def _worth(record: SearchRecord, best: Setting) -> str:
    if best.mean is None:
        return (
            f"{shown(record, best.value)} in one training: partly luck, so take it as the trial to repeat (reruns = 3)"
        )
    if best.half_width is None:
        return f"{shown(record, best.mean)} in a rerun with another seed; one rerun has no interval (reruns = 3)"
    spread, count = shown(record, best.half_width, unit=False), len(best.reruns)
    return f"{shown(record, best.mean)} ± {spread}, mean of {count} reruns with other seeds (95 % interval)"


def _doubts(record: SearchRecord, found: Settled) -> Iterator[str]:
    """Yield what the luckiest trial seemed to be, and which finalists are not told from the best."""
    best, luckiest = found.best, found.luckiest
    if best is None or best.mean is None or luckiest is None:
        return
    which = "the same settings" if luckiest is best else f"trial {luckiest.trial.number}"
    again = "" if luckiest is best or luckiest.mean is None else f", and {shown(record, luckiest.mean)} in its reruns"
    yield f"the luckiest trial, {which}, had {shown(record, luckiest.value)} in its only run{again}"
    if best.half_width is None:
        return
    near = [
        one
        for one in found.finalists
        if one is not best and one.mean is not None and abs(one.mean - best.mean) <= math.sqrt(2) * best.half_width
    ]
    if near:
        said = "; ".join(f"trial {one.trial.number} ({shown(record, one.mean)})" for one in near)
        yield f"not told from the best: {said}"


def _endings(results: Results, record: SearchRecord, study: str) -> str:
    statuses = dict(zip(results.cells["cell_id"], results.cells["status"], strict=True))
    counted = Counter(statuses.get(trial.cell_id, "not run") for trial in record.of(study))
    words = ", ".join(f"{count} {'to their end' if status == 'ok' else status}" for status, count in counted.items())
    asked = f" of {record.num_trials} asked for" if len(record.of(study)) < record.num_trials else ""
    return f"{len(record.of(study))} trials{asked}: {words}"


def _setting(best: Setting) -> str:
    return ", ".join(
        f"{field} = {value:.4g}" if isinstance(value, float) else f"{field} = {value}"
        for field, value in best.trial.values.items()
    )


def shown(record: SearchRecord, value: float | None, *, unit: bool = True) -> str:
    """Return a value of the objective as a reader writes it; an accuracy in per cent."""
    if value is None:
        return "nothing"
    name = record.objective.replace("_", " ").removesuffix(" s")
    if record.objective == "test_accuracy":
        return f"{100 * value:.2f}" + (f" % {name}" if unit else " points")
    if record.objective == "images_per_s":
        return f"{value:,.4g}" + (" images/s" if unit else "")
    return (f"{name} " if unit else "") + f"{value:.4g}" + (" s" if record.objective.endswith("_s") else "")
