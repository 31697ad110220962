"""The environments of a folder: each a machine with its versions and method; only rows of one are ever compared.

A run on a cluster leaves rows of several in one folder, every group of cells whole on one of them. Each then has a
name, as short as tells it from the others, and what was trained on it is a subject of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from ampbench.visualize.read.words import count

TELLS = {
    "torch": "torch", "python": "Python", "driver": "driver", "cpu": "", "num_cores": "CPU cores:", "cuda": "CUDA",
    "method_version": "method",
}  # fmt: skip
"""Column that tells environments of one machine apart -> the word before its value, in the order in which they are
named."""
CLUTTER = re.compile(r"\((?:R|TM)\)|\b(?:CPU|Processor)\b|@ [\d.]+ ?GHz|\([a-z0-9_ ]+\)", re.IGNORECASE)
"""What a sentence leaves out of a CPU's name, as long as no other machine of the folder is called the same without."""
NEEDED = ("cell_id", "group_id", "status", "model", "data", "environment_id", "machine", *TELLS)
"""What is read of a cell; older results lack some."""


def environments_of(cells: pd.DataFrame) -> dict[str, str]:
    """Return cell -> the name of its environment; empty where all cells are of one.

    A cell that never ended well is where its group is: what was started elsewhere before, and failed, measured nothing.

    Args:
        cells: all of a folder, with the columns of `NEEDED` as far as it has them.
    """
    if cells["environment_id"].nunique() < 2:
        return {}
    ids = _ids(cells)
    if ids.nunique() < 2:
        return {}
    known = ids.notna()
    names = names_of(cells[known].assign(environment_id=ids[known]))
    return {cell: names.get(one, "") for cell, one in zip(cells["cell_id"], ids, strict=True)}


def names_of(cells: pd.DataFrame) -> dict[str, str]:
    """Return environment_id -> the machine, and of several environments of one machine what tells them apart."""
    own = cells[cells["environment_id"].notna()]
    first = own[[name for name in NEEDED if name in own]].groupby("environment_id", sort=False).first()
    machines = first["machine"].astype(object).where(first["machine"].notna(), "an unknown machine").astype(str)
    short = {machine: _short(machine) for machine in machines.unique()}
    machines = machines.map(lambda one: short[one] if list(short.values()).count(short[one]) == 1 else one)
    names = dict(machines.items())
    for machine, alike in first.groupby(machines, sort=False):
        if len(alike) == 1:
            continue
        apart = [name for name in TELLS if name in alike and alike[name].nunique(dropna=False) > 1]
        for one, row in alike.iterrows():
            words = [f"{TELLS[name]} {_value(row[name])}".strip() for name in apart]
            names[one] = f"{machine} with {', '.join(words)}" if words else str(machine)
    said = list(names.values())  # at worst nothing but their hash tells two apart
    return {str(one): f"{name} ({one})" if said.count(name) > 1 else name for one, name in names.items()}


def apart(cells: pd.DataFrame) -> list[str]:
    """Return the ids of the environments over which a group of cells that ended well is spread; empty if none is.

    Args:
        cells: of one folder; those of one group are to be compared with each other.
    """
    ok = cells[(cells["status"] == "ok") & cells["environment_id"].notna()]
    spread = ok.groupby("group_id", dropna=False)["environment_id"].transform("nunique") > 1
    return list(ok.loc[spread, "environment_id"].unique())


def counted(names: pd.Series) -> str:
    """Return `NVIDIA H200 (12 cells) and AMD EPYC, 2 cores (6 cells)` of the environment of each cell."""
    parts = [f"{name} ({count(n, 'cell', 'cells')})" for name, n in names[names != ""].value_counts(sort=False).items()]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def kind_of(cells: pd.DataFrame) -> str:
    """Return `machines` where each environment is a machine of its own, else `environments`."""
    own = cells[(cells["measured_on"] != "") & cells["machine"].notna()]
    alone = own.groupby("machine")["measured_on"].nunique().le(1).all()
    return "machines" if alone else "environments"


def _short(machine: str) -> str:
    """Return `Intel Xeon Platinum 8481C, 2 cores` of a CPU whose name also has its clock and extensions."""
    return " ".join(CLUTTER.sub(" ", machine).split()).replace(" ,", ",") or machine


def _ids(cells: pd.DataFrame) -> pd.Series:
    """Return the environment_id of each cell; of one that never ended well that of its group."""
    own, ok = cells["environment_id"].astype(object), cells["status"] == "ok"
    by_group = cells["group_id"].map
    of_ok: Mapping[str, str] = own[ok].groupby(cells["group_id"][ok]).first()
    of_any: Mapping[str, str] = own.groupby(cells["group_id"]).first()
    found = own.where(ok, by_group(of_ok)).fillna(own).fillna(by_group(of_any))
    # One machine that was changed after a failure is shown as it is now.
    now = cells[ok & own.notna()].drop_duplicates("machine").set_index("machine")["environment_id"]
    failed = ~found.isin(set(own[ok].dropna()))
    found = found.where(~failed, cells["machine"].map(now).astype(object).fillna(found))
    # What was excluded as a whole has none: it is shown once, where most of the same network is.
    most = found.groupby([cells["model"], cells["data"]]).agg(lambda ids: next(iter(ids.mode()), None))
    place = pd.Series(list(zip(cells["model"], cells["data"], strict=True)), cells.index)
    return found.fillna(place.map(most.to_dict()))


def _value(value: object) -> str:
    if value is None or pd.isna(value):
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
