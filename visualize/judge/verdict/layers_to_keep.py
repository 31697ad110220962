"""The few layers that are the trouble of a 16-bit recipe, as the recipe that keeps just these in fp32.

A layer is trouble where it was the first to be non-finite in a forward pass, where its outputs come near the largest
number of the format, where its gradient is flushed to zero, or where rounding removes its updates. Keeping layers is
the answer only where they are few; where most underflow a loss scale helps, and where most lose updates fp32 copies do.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from ampbench.schema.diagnosis.training import UNMOVED
from ampbench.schema.recipes import RECIPE_NAMES
from ampbench.visualize.judge.verdict.draft import reference_of
from ampbench.visualize.judge.verdict.numbers import FLUSHED
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.layers import last_samples

Trouble = Literal["diverged", "overflow", "underflow", "lost updates"]
FEW = 0.25
"""Largest share of the layers with weights that are few; a single layer is few in any network."""
MOST_LAYERS = 8
NEAR = 1e-6
"""Share of a layer's outputs near the largest number of the format from which it is named: one in a million."""
MOST_CHARACTERS = 55
"""Of a recipe's name before `_kept`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TroubledLayer:
    """A layer, and what 16 bits do to it."""

    layer: str
    trouble: Trouble
    share: float | None
    """Of its outputs, of its gradient or of its weights, in the worst sample; None for one that diverged."""

    def __str__(self) -> str:
        if self.share is None:
            return f"{self.layer} (the first to be non-finite)"
        what = {"overflow": "of its outputs near overflow", "underflow": "of its gradient flushed to zero"}
        said = what.get(self.trouble, "of its weights not moved by a step")
        return f"{self.layer} ({'under 1' if self.share < 0.01 else f'{100 * self.share:.0f}'} % {said})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """The recipe that would keep the layers in fp32 that are the trouble of another one."""

    subject: str
    batch_size: int
    recipe: str
    """The one in trouble, as tables name it."""
    layers: tuple[TroubledLayer, ...]
    """In the model's order."""
    num_layers: int
    """With weights, in the network."""
    entries_share: float | None
    """Of the network's weights, those in these layers; None if unknown."""
    name: str
    """Of the recipe to try."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its table in an experiment file: `compute`, `keep_fp32` …"""

    @property
    def table(self) -> str:
        """Its table as the text of an experiment file."""
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in self.settings.items()]
        return "\n".join([f"[precision.{json.dumps(self.name)}]", *lines]) + "\n"

    @property
    def move(self) -> str:
        """What to try, in words, as in `keep just conv1 in fp32: keep_fp32 = ["conv1"]`."""
        names = ", ".join(one.layer for one in self.layers)
        return f"keep just {names} in fp32: keep_fp32 = {json.dumps(self.settings['keep_fp32'], ensure_ascii=False)}"


def layers_to_keep(results: Results) -> list[Keeping]:
    """Return, for each subject, batch size and 16-bit recipe whose trouble is in few layers, what to keep."""
    found = []
    for subject in results.subjects:
        of_subject = results.where(subject=subject)
        for batch_size in of_subject.batch_sizes:
            own = of_subject.where(batch_size=batch_size)
            found += [one for recipe in own.recipes if (one := keeping_of(own, recipe))]
    return found


def keeping_of(results: Results, recipe: str) -> Keeping | None:
    """Return which layers of a recipe to keep in fp32; None where there is no trouble, or it is in many layers.

    Args:
        results: of one subject and batch size.
        recipe: as tables name it.
    """
    cells = results.cells[results.cells["recipe"] == recipe]
    if cells.empty or not {"compute_dtype", "weights_dtype"} <= set(cells):
        return None
    cell = cells.iloc[0]
    if cell["compute_dtype"] not in ("fp16", "bf16"):
        return None
    rows = results.layers
    rows = rows[rows["cell_id"].isin(cells["cell_id"])] if len(rows) else rows
    troubled: dict[str, TroubledLayer] = {}
    for one in (*_diverged(results, cells), *_in_samples(rows, cells)):
        troubled.setdefault(one.layer, one)
    depths, sizes = _layers(rows)
    few = max(1, int(FEW * len(depths))) if depths else 1
    if not troubled or len(troubled) > min(few, MOST_LAYERS):
        return None
    in_order = tuple(sorted(troubled.values(), key=lambda one: depths.get(one.layer, -1)))
    settings = _settings(results, cell, [one.layer for one in in_order])
    (subject,), (batch_size,) = results.subjects, results.batch_sizes
    return Keeping(
        subject=subject,
        batch_size=batch_size,
        recipe=recipe,
        layers=in_order,
        num_layers=len(depths),
        entries_share=sum(sizes.get(name, 0.0) for name in troubled) / sum(sizes.values()) if sizes else None,
        name=f"{str(cell['precision'])[:MOST_CHARACTERS]}_kept",
        settings=settings,
    )


def _diverged(results: Results, cells: pd.DataFrame) -> Iterator[TroubledLayer]:
    """Yield the layer whose output was the first to be non-finite, where the reference did not diverge.

    With 16-bit weights what a kept layer gives out goes back to 16 bit, so keeping it alone would not help.
    """
    reference = reference_of(results.ok)
    if not reference or "diverged_layer" not in cells or cells.iloc[0]["weights_dtype"] != "fp32":
        return
    of_reference = results.cells[results.cells["recipe"] == reference]
    if (of_reference["status"] == "diverged").any():
        return
    own = cells[(cells["status"] == "diverged") & (cells["diverged_in"] == "forward")]
    known = set(results.layers["layer"].astype(str)) if len(results.layers) else set()
    for layer in dict.fromkeys(own["diverged_layer"].dropna().astype(str)):
        if layer in known or not known:
            yield TroubledLayer(layer=layer, trouble="diverged", share=None)


def _in_samples(rows: pd.DataFrame, cells: pd.DataFrame) -> Iterator[TroubledLayer]:
    if rows.empty:
        return
    questions: list[tuple[Trouble, str, str, float]] = [("underflow", "flushed_share", "gradient", FLUSHED)]
    if cells.iloc[0]["weights_dtype"] == "fp32":
        questions.append(("overflow", "near_overflow_share", "activation", NEAR))
    if _rounds(cells.iloc[0]):
        questions.append(("lost updates", "unmoved_share", "gradient", UNMOVED))
    for trouble, quantity, tensor, least in questions:
        own = rows[(rows["quantity"] == quantity) & (rows["tensor"] == tensor)]
        own = last_samples(own) if trouble == "lost updates" else own
        worst = own.groupby(own["layer"].astype(str))["value"].max()
        for layer, share in worst[worst >= least].items():
            yield TroubledLayer(layer=str(layer), trouble=trouble, share=float(share))


def _rounds(cell: pd.Series) -> bool:
    """Whether the recipe rounds its updates to the nearest number of 16 bit, without a copy."""
    return cell["weights_dtype"] != "fp32" and cell.get("update") not in ("master", "kahan", "stochastic")


def _layers(rows: pd.DataFrame) -> tuple[dict[str, int], dict[str, float]]:
    """Return the depth and the number of entries of each layer with weights."""
    own = rows[(rows["tensor"] == "gradient") & rows["depth"].notna()] if len(rows) else rows  # older rows have none
    if own.empty:
        return {}, {}
    names = own["layer"].astype(str)
    sizes = own[own["quantity"] == "num_entries"]
    return (
        {str(k): int(v) for k, v in own.groupby(names)["depth"].min().items()},
        {str(k): float(v) for k, v in sizes.groupby(sizes["layer"].astype(str))["value"].max().items()},
    )


def _settings(results: Results, cell: pd.Series, layers: list[str]) -> dict[str, Any]:
    """Return the recipe's own table, or that of a built-in one, with the layers to keep added."""
    name = str(cell["precision"])
    settings = _own_table(results, name) if name not in RECIPE_NAMES else _built_in(cell)
    if isinstance(scale := cell.get("loss_scale"), str) and scale != settings.get("loss_scale", "none"):
        settings["loss_scale"] = scale
    before = settings.get("keep_fp32", [])
    names = [layer.replace("[", "[[]") for layer in layers]  # else the beginning of a set of characters
    return settings | {"keep_fp32": list(dict.fromkeys([*before, *names]))}


def _built_in(cell: pd.Series) -> dict[str, Any]:
    weights = {} if cell["weights_dtype"] == "fp32" else {"weights": str(cell["weights_dtype"])}
    fp8 = {"fp8": True} if cell["precision"] == "fp8" else {}
    return weights | {"compute": str(cell["compute_dtype"])} | fp8


def _own_table(results: Results, name: str) -> dict[str, Any]:
    try:
        found = tomllib.loads(results.plan.toml).get("precision", {}).get(name, {})
    except (ValueError, RecursionError, AttributeError):
        return {}
    return dict(found) if isinstance(found, dict) else {}
