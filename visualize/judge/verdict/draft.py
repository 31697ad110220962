"""What is compared of one recipe with the reference, before its family says how surely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from ampbench.schema.margins import LEAST_TEST_IMAGES
from ampbench.visualize.judge.runs.outliers import Outlier, outliers_of
from ampbench.visualize.judge.runs.pairs import ALIKE, accuracies, effect_of, numbered, point_differences
from ampbench.visualize.judge.runs.seeds import Seeds, seeds_of
from ampbench.visualize.judge.runs.unpaired import Unpaired, unpaired_of
from ampbench.visualize.judge.verdict.looks import IN_ENVIRONMENT
from ampbench.visualize.read.files import NEEDED
from ampbench.visualize.read.peaks import INSTRUMENT, PEAK
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.stats.effect import Effect, paired

REFERENCE = "fp32"
ALSO = (
    "subject",
    "workload",
    "measured_on",
    "host",
    "board",
    "recipe",
    "joules_per_image",
    "energy_instrument",
    PEAK,
    INSTRUMENT,
)
"""Columns that are compared or compared by, beside those that every record has."""
METHOD = ["environment_id", "method_version"]
"""Columns in which the comparisons of a family are equal: the noise of one machine says nothing of another's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """One recipe and the reference of its subject and batch size: the effects as measured."""

    subject: str
    asked: str
    """The subject by a name that stays when a further machine joins the folder."""
    batch_size: int
    recipe: str
    reference: str
    missing_reference: str
    speed: Effect
    memory: Effect | None
    energy: Effect | None
    points: Effect | None
    """Of test accuracy, in points; None if one of the two was only timed."""
    seeds: Seeds | None
    """The same seed by seed."""
    num_test_images: int | None
    num_ok: int
    num_failed: int
    num_reference_failed: int
    unpaired: Unpaired | None
    outliers: tuple[Outlier, ...]

    @property
    def look(self) -> tuple[str, int]:
        """What is asked, on one line, and with how many pairs."""
        n = max(self.speed.n, self.points.n if self.points else 0)
        return f"{self.asked}, batch {self.batch_size}, {self.recipe} against {self.reference}", n

    @property
    def grain(self) -> float:
        """What one test image is worth, in points."""
        return grain_of(self.num_test_images)

    @property
    def lends(self) -> bool:
        """Whether the family may learn from the spread of its speeds."""
        return not any(outlier.gross for outlier in self.outliers)


def families_of(cells: pd.DataFrame, *, unpaired: bool = False) -> Iterator[tuple[str, list[Draft]]]:
    """Yield each machine and method in words, and the comparisons on it.

    Args:
        cells: of one folder, of any status.
        unpaired: compare the speeds of all processes where there are fewer than two pairs.
    """
    found: dict[tuple[object, ...], tuple[str, list[Draft]]] = {}
    # A frame of all columns, or of columns in Arrow's memory, costs more to slice than what is computed from it.
    known = {name: cells[name] for name in dict.fromkeys((*NEEDED["cells"], *ALIKE, *ALSO)) if name in cells}
    plain = {n: own if pd.api.types.is_numeric_dtype(own) else own.astype(object) for n, own in known.items()}
    cells = pd.DataFrame(plain, cells.index)
    ok = cells[cells["status"] == "ok"]
    outliers = [outlier for _, own in ok.groupby(METHOD, dropna=False, sort=False) for outlier in outliers_of(own)]
    for (subject, batch_size), rows in numbered(cells).groupby(["subject", "batch_size"], sort=True):
        here = [o for o in outliers if (o.subject, o.batch_size) == (str(subject), batch_size)]
        for draft, own in _drafts(str(subject), int(str(batch_size)), rows, here, unpaired):
            key = tuple(frozenset(own[name].dropna().unique()) for name in METHOD)
            found.setdefault(key, (_where(own), []))[1].append(draft)
    yield from found.values()


def _where(own: pd.DataFrame) -> str:
    """Return on what and by which method cells were measured, in words."""
    named = own["measured_on"] if "measured_on" in own else pd.Series("", own.index)
    names = named.where(named != "", own["machine"])
    where = " / ".join(names.dropna().astype(str).unique()) or "an unknown machine"
    method = " / ".join(f"{version:.0f}" for version in own["method_version"].dropna().unique()) or "unknown"
    return f"{where} by method {method}"


def reference_of(ok: pd.DataFrame) -> str:
    """Return `fp32` if a cell of it is there, else the first recipe; an empty string if there is none."""
    names = in_order(ok["recipe"])
    return REFERENCE if REFERENCE in names else next(iter(names), "")


def _drafts(
    subject: str, batch_size: int, rows: pd.DataFrame, outliers: list[Outlier], unpaired: bool
) -> Iterator[tuple[Draft, pd.DataFrame]]:
    """Yield each comparison of one subject and batch size, with the cells that ran to their end of both recipes."""
    ok = rows[rows["status"] == "ok"]
    lost = rows.loc[~rows["status"].isin(["ok", "excluded", "unsupported"]), ["recipe", "status"]]
    reference = reference_of(ok)
    images = ok["num_test_images"].dropna()
    num_images = int(images.iloc[0]) if len(images) else None
    for recipe in in_order(ok["recipe"]):
        if recipe == reference:
            continue
        own = ok[ok["recipe"].isin([reference, recipe])]
        points = point_differences(own, reference, recipe)
        yield (
            Draft(
                subject=subject,
                asked=_asked(subject, own),
                batch_size=batch_size,
                recipe=recipe,
                reference=reference,
                missing_reference=_missing(lost, reference),
                speed=effect_of(own, reference, recipe, unpaired=unpaired),
                memory=_of_one_instrument(own, reference, recipe, PEAK, INSTRUMENT),
                energy=_of_one_instrument(own, reference, recipe, "joules_per_image", "energy_instrument"),
                points=paired(points) if points else None,
                seeds=seeds_of(points, 100 * float(_of_seeds(own, reference).std()), grain_of(num_images)),
                num_test_images=num_images,
                num_ok=int((ok["recipe"] == recipe).sum()),
                num_failed=int((lost["recipe"] == recipe).sum()),
                num_reference_failed=int((lost["recipe"] == reference).sum()),
                unpaired=unpaired_of(ok, reference, recipe),
                outliers=tuple(o for o in outliers if o.recipe in (reference, recipe)),
            ),
            own,
        )


def _asked(subject: str, own: pd.DataFrame) -> str:
    """Return the subject with the id of its environment in place of a name, where there are several."""
    if "measured_on" not in own or own["measured_on"].eq("").all():
        return subject
    return f"{own['workload'].iloc[0]}{IN_ENVIRONMENT}{' / '.join(sorted(own['environment_id'].dropna().unique()))}"


def grain_of(num_test_images: int | None) -> float:
    """Return what one test image is worth, in points; of a set of unknown size, of the smallest that there is."""
    return 100 / (num_test_images or LEAST_TEST_IMAGES)


def _of_seeds(ok: pd.DataFrame, recipe: str) -> pd.Series:
    """Return the test accuracy of each seed of a recipe that was trained."""
    own = ok[(ok["recipe"] == recipe) & (ok["epochs"] > 0)]
    return accuracies(own).groupby(own["group_id"]).mean()


def _missing(lost: pd.DataFrame, reference: str) -> str:
    """Say why fp32 is not the reference although it was started; empty if it is, or was not asked for."""
    own = lost[lost["recipe"] == REFERENCE]
    if reference == REFERENCE or own.empty:
        return ""
    endings = " and ".join(f"{n} {status}" for status, n in own["status"].value_counts().items())
    return f"no cell of {REFERENCE} ran to its end ({endings})"


def _of_one_instrument(ok: pd.DataFrame, a: str, b: str, column: str, instrument: str) -> Effect | None:
    """Return the effect on a column that one instrument measured on both sides; None without one."""
    if column not in ok or instrument not in ok:
        return None
    if ok.loc[ok[column].notna(), instrument].nunique() != 1:
        return None
    effect = effect_of(ok, a, b, column, unpaired=True)
    return effect if effect.n else None
