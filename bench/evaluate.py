"""python -m ampbench evaluate RUN: evaluate saved weights of a training, in its precision."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.run import Run

MOST = 5
"""Most runs that are named if a folder of results was given."""


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
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images per step; by default as in the training.")
    ] = None,
) -> int:
    """Evaluate saved weights of a training (best.pt, or else model_final.pt) in the precision of the training.

    Prints the number of images, mean loss, accuracy and macro precision, recall and F1. A training saves weights with
    keep_best = true or keep_final = true in [measure]. Exit codes: 0 done, 2 the evaluation is not possible.
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
        RequestError: there is none, or it is of an older version. If the folder holds runs, some are named.
    """
    if folder.is_file():
        folder = folder.parent  # such as its best.pt
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
