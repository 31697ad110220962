"""Any table of a report as a file: `python -m visualize.export results/demo --table summary --format latex`.

`csv` and `json` hold every digit, for a program; `md` and `latex` are rounded, for a person. Units stand in the heads.
What is unknown is empty, in JSON null. The large tables (steps, blocks and so on) are written as CSV piece by piece.
Exit code 0, or 2 with one line on stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ampbench.terminal import saying_unwritten, show_everything, unwritten
from ampbench.visualize.options import Folder, Mixed, Only
from ampbench.visualize.read import frame
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.show.exported import Form, write
from ampbench.visualize.show.exports import TABLES, named


def export(
    folder: Path, table: str, form: Form, *, only: Sequence[str] = (), mixed: bool = False, out: Path | None = None
) -> None:
    """Write one table of a folder of results to a file, or to stdout.

    Args:
        folder: of the results.
        table: a key of `TABLES`.
        form: how it is written.
        only: conditions that select cells, `column=value`.
        mixed: allow recipes that ran on different machines or versions; groups that are whole on one need no leave.
        out: the file, which is written completely or not at all; None for stdout.

    Raises:
        ResultsError: there is no such table, or the results cannot be read.
    """
    make = named(table)
    write(make(frame.read(folder, mixed=mixed, only=only)), form, out)


def main(
    folder: Folder,
    table: Annotated[str, typer.Option(help=f"One of {', '.join(TABLES)}.")] = "summary",
    form: Annotated[
        Form, typer.Option("--format", help="csv and json with every digit, md and latex rounded.")
    ] = Form.CSV,
    out: Annotated[Path | None, typer.Option(help="The file to write; by default it is printed.")] = None,
    only: Only = None,
    mixed: Mixed = False,
) -> None:
    """Write a table of a folder of results as CSV, Markdown, LaTeX or JSON."""
    try:
        export(folder, table, form, only=only or (), mixed=mixed, out=out)
    except ResultsError as e:
        print(e, file=sys.stderr)
        raise typer.Exit(2) from None
    except OSError as e:
        if out is None:
            raise
        print(unwritten(e, out), file=sys.stderr)
        raise typer.Exit(2) from None
    if out:
        print(out)


if __name__ == "__main__":
    show_everything()
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    with saying_unwritten():
        app()
