"""What the next rounds are for: `python -m ampbench.visualize.undecided results/quickstart`, as JSON.

Adaptive rounds ask it after each look: a list with an entry for each subject, `words` on where it stands, and for each
recipe that goes on the ids of its `cells` and of those `beside` it that it is compared with. To ask is a look, which is
kept in the folder. Exit code 0, or 2 with one line on stderr.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from ampbench.terminal import saying_unwritten, show_everything
from ampbench.visualize.judge.answer.undecided import undecided
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.looks import read_looks, write_looks
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.options import Folder, Mixed
from ampbench.visualize.read import frame
from ampbench.visualize.read.files import ResultsError


def question_of(folder: Path, *, mixed: bool = False) -> list[dict[str, Any]]:
    """Return what is open of each subject, and keep that it was looked at.

    Raises:
        ResultsError: the results cannot be read or compared.
    """
    results = frame.read(folder, mixed=mixed)
    verdicts = verdicts_of(results)
    found = undecided(results, standings(results, verdicts))
    write_looks(folder, read_looks(folder).and_these(v.look for v in verdicts))
    return [
        {
            "subject": one.subject,
            "words": one.words,
            "open": [
                {"cells": sorted(cells), "beside": sorted(beside)}
                for cells, beside in zip(one.contenders, one.references, strict=True)
            ],
        }
        for one in found
    ]


def main(
    folder: Folder,
    mixed: Mixed = False,
) -> None:
    """Say as JSON which recipes further rounds of timings would decide."""
    try:
        found = question_of(folder, mixed=mixed)
    except ResultsError as e:
        print(e, file=sys.stderr)
        raise typer.Exit(2) from None
    print(json.dumps(found))


if __name__ == "__main__":
    show_everything()
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    with saying_unwritten():
        app()
