"""Which few layers should stay in fp32? `python -m ampbench.visualize.layers_to_keep DIR --format json`.

For each 16-bit recipe whose trouble is in few layers: these layers, and the recipe that keeps just them, ready for an
experiment file. An empty list where nothing is to be kept. Exit code 0; 2 with a line on stderr if the request is
wrong.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ampbench.terminal import saying_unwritten, show_everything
from ampbench.visualize.judge.verdict.layers_to_keep import Keeping, layers_to_keep
from ampbench.visualize.options import Folder, Mixed, Only
from ampbench.visualize.read import frame
from ampbench.visualize.read.files import ResultsError


class Format(enum.StrEnum):
    """How the layers are written."""

    TEXT = "text"
    JSON = "json"


NONE = "no recipe's trouble is in few layers, as far as [measure] numerics_samples and numerics_activations looked\n"


def text(found: Sequence[Keeping]) -> str:
    """Return the recipes to try as tables of an experiment file, with the reasons as comments."""
    parts = []
    for one in found:
        share = "" if one.entries_share is None else f", {100 * one.entries_share:.1f} % of its weights"
        parts += [f"# {one.subject} at batch {one.batch_size}: {one.recipe} has its trouble in {len(one.layers)} of "
                  f"{one.num_layers} layers{share}"]  # fmt: skip
        parts += [f"#   {layer}" for layer in one.layers]
        parts += [one.table]
    return "\n".join(parts) if parts else f"# {NONE}"


def as_json(found: Sequence[Keeping]) -> str:
    """Return the recipes to try as a list of objects."""
    return json.dumps([dataclasses.asdict(one) | {"table": one.table} for one in found], indent=2) + "\n"


def main(
    folder: Folder,
    only: Only = None,
    form: Annotated[Format, typer.Option("--format", help="Tables of an experiment file, or JSON.")] = Format.TEXT,
    mixed: Mixed = False,
) -> None:
    """Name the few layers that are the trouble of a 16-bit recipe, and the recipe that keeps them in fp32."""
    try:
        found = layers_to_keep(frame.read(folder, mixed=mixed, only=only or ()))
    except ResultsError as e:
        print(e, file=sys.stderr)
        raise typer.Exit(2) from None
    sys.stdout.write(as_json(found) if form is Format.JSON else text(found))


if __name__ == "__main__":
    show_everything()
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    with saying_unwritten():
        app()
