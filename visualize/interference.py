"""Does a cell run slower beside busy neighbours? `python -m ampbench.visualize.interference DIR`, as JSON.

DIR holds two folders of results of the same cell, `alone` and `beside`. Exit code 0; 2 with one line on stderr.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.terminal import saying_unwritten, show_everything
from ampbench.visualize.judge.verdict.interference import interference_of
from ampbench.visualize.read.files import ResultsError


def main(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="With the rounds of a check, in alone/ and beside/.")],
) -> None:
    """Say as JSON how fast a cell runs beside its neighbours, as a ratio to the same cell alone."""
    try:
        found = interference_of(folder)
    except ResultsError as e:
        print(e, file=sys.stderr)
        raise typer.Exit(2) from None
    print(json.dumps(dataclasses.asdict(found)))


if __name__ == "__main__":
    show_everything()
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    with saying_unwritten():
        app()
