"""python -m ampbench convert DIR: give the columns of results of an older version their current names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.bench.plan.errors import RequestError

MOST = 5
"""Most folders that are named if a folder above them was given."""


def main(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Results of one experiment, as in results/demo.")
    ],
) -> int:
    """Rename the columns of results of an older version of ampbench, in the joined tables and in every run.

    No number changes, and nothing is measured. Files that cannot be read are named and not changed. Results with
    current names are not changed, so the command may be repeated. Exit codes: 0 done, 2 a folder cannot be converted.
    """
    from ampbench.bench.store.convert import convert
    from ampbench.bench.store.disk import saying_unwritable

    for folder in folders:
        refuse_no_results(folder)
    none_is_ours = False
    for folder in folders:
        with saying_unwritable(folder.absolute(), other="convert a copy of the folder"):
            done = convert(folder.absolute())
        for path, because in done.damaged.items():
            print(f"{path}: {because}" + ("; it is not changed" if path.exists() else ""), file=sys.stderr)
        had = f", {done.num_current} already had the current names" if done.num_current else ""
        print(f"{folder}: {done.num_converted} file{'s' * (done.num_converted != 1)} converted{had}")
        none_is_ours = none_is_ours or not done.num_converted + done.num_current
    return 2 if none_is_ours else 0


def refuse_no_results(folder: Path) -> None:
    """Raise if a folder holds no results.

    Raises:
        RequestError: it holds none. If folders in it do, some of them are named.
    """
    from ampbench.bench.store.convert import files_of

    if not folder.is_dir():
        raise RequestError(f"{folder}: no such folder; name one below results/, as in results/demo")
    if next(files_of(folder), None):
        return
    below = sorted(path for path in folder.glob("*/") if next(files_of(path), None))
    if not below:
        raise RequestError(f"{folder}: holds no results; name a folder that does, as in results/demo")
    named = " ".join(map(str, below[:MOST])) + (" …" if len(below) > MOST else "")
    raise RequestError(f"{folder}: holds no results itself; name the folders in it that do: {named}")


if __name__ == "__main__":
    print("run it as: python -m ampbench convert DIR", file=sys.stderr)
    sys.exit(2)
