"""The diagnoses of a folder: one for each recipe and kind, over its runs, and how many trainings show S4's signs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from ampbench.schema.diagnosis import Diagnosis, Kind, Records, diagnoses_of
from ampbench.schema.diagnosis.signs import signs_of
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.layers import last_samples, unmoved
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.read.words import count

MOST = 12
"""Most diagnoses that are listed; a matrix with a wrong setting has one for every row."""

# fmt: off
COLUMNS = (
    "status", "because", "diverged_step", "diverged_layer", "diverged_in", "epochs", "data", "schedule",
    "grad_clip", "compute_dtype", "weights_dtype", "update", "loss_scale", "learned", "num_classes",
    "num_test_images", "macro_recall", "test_accuracy", "train_accuracy", "target_accuracy", "num_steps",
    "num_skipped", "num_resumes", "passes_failed", "bound", "bound_because", "data_ms", "forward_ms", "backward_ms",
    "update_ms", "loader", "num_workers", "compile", "memory_instrument", "temperature_c", "num_invalid_blocks",
    "num_blocks", "thermal_violation_share", "reliability_violation_share",
)
# fmt: on
"""Columns of `cells` that the rules read; older results lack some."""
PLACE = ("cell_id", "subject", "batch_size", "recipe", "seed")
"""Columns that tell the runs apart."""
CURVES = ("epoch", "test_accuracy", "train_loss", "learning_rate", "planned_learning_rate", "memory_bytes")
"""Columns of `epochs` that the rules read; older results lack some."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """What is wrong with the runs of one recipe, all of them in the same way."""

    subject: str
    batch_size: int
    recipe: str
    found: tuple[tuple[str, int, Diagnosis], ...]
    """Cell, seed and diagnosis of each run that has it, the first of them the example."""
    num_runs: int
    """Of this recipe in all."""

    @property
    def diagnosis(self) -> Diagnosis:
        """That of the example."""
        return self.found[0][2]

    def __str__(self) -> str:
        which = ""
        if self.num_runs > 1:
            which = f", {len(self.found)} of {self.num_runs} runs, for example seed {self.found[0][1]}"
        one = self.diagnosis
        rows = "; ".join(map(str, one.rows))
        return f"{self.subject} {self.recipe} at batch {self.batch_size}{which}: {one.sentence} ({rows})"


def groups_of(results: Results) -> list[Group]:
    """Return what is wrong, by subject, batch size, recipe and kind; in the order of the tables."""
    columns = ["subject", "batch_size", "recipe", "cell_id", "seed"]
    cells = results.cells.loc[results.cells["status"] != "excluded", columns]
    records = {run.cell["cell_id"]: run for run in records_of(results)}
    found = []
    for (subject, batch_size), own in cells.groupby(["subject", "batch_size"], sort=False):
        for recipe in in_order(own["recipe"]):
            here = own[own["recipe"] == recipe]
            by_kind: dict[Kind, list[tuple[str, int, Diagnosis]]] = {}
            for cell_id, seed in zip(here["cell_id"], here["seed"], strict=True):
                for one in diagnoses_of(records[cell_id]):
                    by_kind.setdefault(one.kind, []).append((cell_id, 0 if pd.isna(seed) else int(seed), one))
            found += [
                Group(subject=subject, batch_size=int(batch_size), recipe=recipe, found=tuple(ones), num_runs=len(here))
                for ones in by_kind.values()
            ]
    return found


def findings(results: Results) -> list[str]:
    """Return two sentences for each diagnosis: what is wrong with its rows, and the next thing to try, said once."""
    said, moves = [], set()
    for group in groups_of(results):
        move = group.diagnosis.next_move
        said.append(f"{group}. Next: {'the same' if move in moves else move}.")
        moves.add(move)
    more = len(said) - MOST
    return said if more <= 1 else [*said[:MOST], f"{more} more: export --table diagnoses lists them all."]


def undiagnosed(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells without those whose status a diagnosis explains, so that nothing is said twice."""
    return cells[~cells["status"].isin(["diverged", "throttled"])]


def signs(results: Results) -> list[str]:
    """Return a sentence on how many trainings show each of study S4's signs of success; none without a training."""
    seen: dict[str, Counter[bool | None]] = {}
    trainings = [run for run in records_of(results) if run.of("epochs") and run.of("status") != "unsupported"]
    for run in trainings:
        for sign in signs_of(run):
            seen.setdefault(sign.name, Counter())[sign.holds] += 1
    parts = [
        f"{name} in {counted[True]} of {counted.total() - counted[None]}"
        for name, counted in seen.items()
        if counted.total() > counted[None]
    ]
    of = count(len(trainings), "training", "trainings")
    return [f"Signs of success (study S4), of {of}: {', '.join(parts)}."] if parts else []


def rows_of(results: Results) -> pd.DataFrame:
    """Return one row per run and diagnosis: subject, batch_size, recipe, seed, cell_id, kind, sentence, rows, next."""
    return pd.DataFrame(
        [
            {"subject": group.subject, "batch_size": group.batch_size, "recipe": group.recipe, "seed": seed,
             "cell_id": cell_id, "kind": one.kind, "sentence": one.sentence, "rows": "; ".join(map(str, one.rows)),
             "next_move": one.next_move}
            for group in groups_of(results) for cell_id, seed, one in group.found
        ],
        columns=["subject", "batch_size", "recipe", "seed", "cell_id", "kind", "sentence", "rows", "next_move"],
    )  # fmt: skip


def signs_rows_of(results: Results) -> pd.DataFrame:
    """Return one row per training and sign: subject, batch_size, recipe, seed, cell_id, sign, holds, seen."""
    return pd.DataFrame(
        [
            {**{name: run.cell[name] for name in ("subject", "batch_size", "recipe", "seed", "cell_id")},
             "sign": sign.name, "holds": sign.holds, "seen": sign.words}
            for run in records_of(results) for sign in signs_of(run)
        ],
        columns=["subject", "batch_size", "recipe", "seed", "cell_id", "sign", "holds", "seen"],
    )  # fmt: skip


def records_of(results: Results) -> Iterator[Records]:
    """Yield what each run left that was not excluded, in the order of the cells."""
    cells = results.cells[results.cells["status"] != "excluded"]
    cells = cells[[name for name in (*PLACE, *COLUMNS) if name in cells]]  # of 250 columns, for thousands of runs
    epochs = results.epochs
    curves = epochs[["cell_id", *(name for name in CURVES if name in epochs)]].sort_values("epoch")
    by_cell = {str(key): rows.to_dict("records") for key, rows in curves.groupby("cell_id", observed=True)}
    still = {} if results.layers.empty else _last_shares(results)
    for cell in cells.to_dict("records"):
        share, step = still.get(cell["cell_id"], (None, None))
        yield Records(
            cell=cell, epochs=by_cell.get(cell["cell_id"], []), unmoved_share=share, unmoved_step=step
        )  # fmt: skip


def _last_shares(results: Results) -> dict[str, tuple[float, int]]:
    """Return cell -> the share of its weights that the step of its last sample left unchanged, and the step."""
    shares = last_samples(unmoved(results))
    return {str(row.cell_id): (float(row.share), int(row.step)) for row in shares.itertuples()}
