"""python -m ampbench evaluate RUN: the weights that a training kept, on its test set or another, in its precision."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.run import Run

MOST = 5
"""Runs that are named where a folder of results was given."""


def main(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="Folder of a run, as in results/EXPERIMENT/runs/VGG19-fp32-b256-s0-…, or one of its files of weights.",
        ),
    ],
    data: Annotated[
        str | None, typer.Option(help="Another test set: cifar10, cifar100, digits, synthetic or folder:PATH.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images at once; default that of the training.")] = None,
) -> int:
    """Evaluate the weights that a training kept (best.pt, else model_final.pt), in the precision it was trained in.

    Prints total samples, mean loss, accuracy and macro precision, recall and F1. A training keeps weights with
    keep_best = true or keep_final = true in [measure]. Exit codes: 0 done, 2 it cannot be done.
    """
    found = load_run(run)
    from ampbench.bench.store.final import final_lines
    from ampbench.bench.worker.kept_weights import evaluate_kept, weights_path  # brings torch

    path = weights_path(found, run)
    kept = evaluate_kept(found, path, data=data, batch_size=batch_size)
    elsewhere = ", trained on a GPU" if found.board.is_gpu and kept.device == "cpu" else ""
    print(f"{path} of epoch {kept.epoch}: {found.cell} on {data or found.cell.data}, {kept.device}{elsewhere}")
    print(*final_lines(kept.evaluation, kept.num_test_images), sep="\n")
    return 0


def load_run(folder: Path) -> Run:
    """Read the run in a folder.

    Raises:
        RequestError: there is none, or it is of an older version; where it holds runs, some are named.
    """
    if folder.is_file():
        folder = folder.parent  # its best.pt, say
    try:
        return Run.load(folder.absolute())
    except RequestError:
        raise
    except ValueError as e:
        patterns = ("*/cell.json", "runs/*/cell.json", "*/runs/*/cell.json")
        runs = sorted(path.parent for pattern in patterns for path in folder.glob(pattern))
        if not runs:
            raise RequestError(str(e)) from None
        named = ", ".join(map(str, runs[:MOST])) + (" …" if len(runs) > MOST else "")
        raise RequestError(f"{folder}: holds {len(runs)} runs; name one of them: {named}") from None


if __name__ == "__main__":
    print("run it as: python -m ampbench evaluate RUN", file=sys.stderr)
    sys.exit(2)
