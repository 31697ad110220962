"""The stage `layers`: where few layers are the trouble of a recipe, the recipe that keeps just these in fp32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ampbench.bench.auto.advice.session import Part, Session
from ampbench.bench.auto.advice.start import LEAST_STEPS, SEEDS, affordable, measure_of
from ampbench.bench.auto.judge import Unanswered, asked
from ampbench.bench.auto.standings import Standing
from ampbench.bench.plan.errors import RequestError
from ampbench.schema.choices import Choice
from ampbench.schema.toml_values import text_of_tables


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A recipe that keeps the layers in fp32 that were the trouble of another one."""

    recipe: str
    """Whose trouble they are."""
    name: str
    settings: Mapping[str, Any]
    """Of `[precision.NAME]` in an experiment file."""
    words: str
    """Which layers, and their trouble."""


def layers(session: Session, part: Part) -> Part | None:
    """Try the recipe that keeps in fp32 the layers that are the trouble of another; None where it is not tried.

    Args:
        session: the advice.
        part: the stage whose samples of layers are looked at.
    """
    kept = next(iter(proposals(part.folder.path)), None)
    if kept is None:
        why = (
            "no few layers are"
            if "start" in session.parts
            else "no layer was sampled, and none diverged: none is known as"
        )
        session.say(f"  nothing to keep in fp32: {why} the trouble of a recipe")
        return None
    reference = part.reference
    own = next((one for one in part.standings if one.recipe == kept.recipe), None)
    compared = [one for one in (reference, own) if one is not None and one.images_per_s]
    if not compared:
        session.skip("layers", f"{kept.words}; no recipe has a speed to plan a training by")
        return None
    seeds, num_steps = affordable([*compared, _like(compared, kept)], left_s=session.clock.left_s)
    is_new = not session.has_begun("layers")
    if is_new and num_steps < LEAST_STEPS:
        why = f"{session.clock.left_s:.0f} s are left, too few to try it; give more --minutes"
        session.skip("layers", f"{kept.words}; {kept.name} would keep them in fp32: {why}")
        return None
    session.choose(
        Choice(field="layers", value=kept.name, reason=kept.words, evidence=part.folder.path.name, by="rule")
    )
    return session.experiment(
        "layers", lambda: _text(session, compared, kept, seeds, num_steps), share_s=session.clock.left_s
    )


def proposals(folder: Path) -> list[Kept]:
    """Return the recipes that would keep few layers in fp32, as `visualize` finds them.

    Raises:
        RequestError: the folder cannot be judged.
    """
    try:
        rows = asked("layers_to_keep", folder, "--format", "json")
    except Unanswered as e:
        raise RequestError(f"{folder}: its layers cannot be judged: {str(e).splitlines()[-1]}") from None
    return [Kept(recipe=row["recipe"], name=row["name"], settings=row["settings"], words=_words(row)) for row in rows]


def _words(row: Mapping[str, Any]) -> str:
    troubles = ", ".join(f"{one['layer']} ({one['trouble']})" for one in row["layers"])
    of = f" of {row['num_layers']}" if row["num_layers"] else ""  # unknown where no layer was sampled
    return f"the trouble of {row['recipe']} is in {len(row['layers'])}{of} layers: {troubles}"


def _like(compared: list[Standing], kept: Kept) -> Standing:
    """Return what the kept recipe takes at most: as long as the slowest of the others."""
    slowest = min(compared, key=lambda one: one.images_per_s or 0.0)
    return Standing(recipe=kept.name, batch_size=slowest.batch_size, status="ok", images_per_s=slowest.images_per_s)


def _text(session: Session, compared: list[Standing], kept: Kept, seeds: tuple[int, ...], num_steps: int) -> str:
    subject = session.subject
    seeds = tuple(seed + len(SEEDS[0]) for seed in seeds)  # further pairs, not those of the stage `start` again
    names = [*(one.recipe for one in compared), kept.name]
    num_kept = len(kept.settings["keep_fp32"])
    return text_of_tables(
        f"Does {subject['model']} train in {kept.recipe} if {num_kept} of its layers stay in fp32?",
        {
            "matrix": {"seed": list(seeds), "precision": names},
            "fixed": {**subject, "epochs": 0},
            f"precision.{kept.name}": kept.settings,
            "measure": measure_of(num_steps),
            "budget": {"gpu_hours": round(max(60.0, session.clock.left_s) / 3600, 4)},
        },
        comments=["Written by `advise`; it can be run again by hand: run_matrix.py FILE --results FOLDER"],
    )
