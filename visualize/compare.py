"""Is B faster than A? Two folders of results, or two selections from one.

    python -m visualize.compare results/before results/after --fail-on "slower>2%"
    python -m visualize.compare results/demo --a precision=fp32 --b precision=bf16_amp

One row per cell that both sides ran: images/s of A and B, their ratio B / A with its interval, and the verdict on B:
faster, slower, same or can't tell. Exit code 0; 1 if the whole interval is beyond the limit of a --fail-on (the
estimate alone is not enough); 2 with a line on stderr if the request is wrong or no row has an interval.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ampbench.terminal import saying_unwritten, show_everything
from ampbench.visualize.judge.compare import comparison, gate
from ampbench.visualize.judge.compare.comparison import Comparison
from ampbench.visualize.judge.compare.gate import Gate
from ampbench.visualize.judge.compare.side import choose
from ampbench.visualize.read import frame
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.show.formats import WIDTH, Format, notes, render


def check(gates: Sequence[Gate], found: Sequence[Comparison]) -> int:
    """Write to stderr where each limit is exceeded and where that is undecided; return 1 if one is exceeded, else 0."""
    failed = False
    for limit in gates:
        by_result = {result: [c for c in found if limit.breaks(c) is result] for result in (True, None)}
        for result, what in ((True, "established for"), (None, "can't tell, so no failure, for")):
            if by_result[result]:
                listed = ", ".join(map(limit.why, by_result[result]))
                print(f"--fail-on {limit.text}: {what} {listed}", file=sys.stderr)
        failed = failed or bool(by_result[True])
    return int(failed)


def main(
    folder_a: Annotated[Path, typer.Argument(metavar="A", help="Results of one experiment, as in results/demo.")],
    folder_b: Annotated[
        Path | None, typer.Argument(metavar="B", help="Results to compare with A. Without it, B is chosen from A too.")
    ] = None,
    a: Annotated[
        list[str] | None,
        typer.Option(help="Take for A only cells with this value, as in precision=fp32. Repeat to narrow."),
    ] = None,
    b: Annotated[list[str] | None, typer.Option(help="The same for B, as in precision=bf16_amp.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="The same for both, as in batch_size=64,128.")] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(help="Exit with 1 if the interval shows it: slower>2%, memory>5%, accuracy<-0.5."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to write the comparisons.")] = Format.TABLE,
    mixed: Annotated[bool, typer.Option("--mixed", help="Compare even if machines or versions differ.")] = False,
) -> None:
    """Compare speed, memory and accuracy of two folders of results, or of two selections from one folder."""
    try:
        gates = [gate.parse(text) for text in fail_on or ()]
        if folder_b is None and not (a and b):
            raise ResultsError(
                f"{folder_a}: one folder is not a comparison; name a second one, or select both sides from it, as in "
                "--a precision=fp32 --b precision=bf16_amp"
            )
        results = frame.of_matrix(frame.read(folder_a, mixed=mixed))
        others = results
        if folder_b not in (None, folder_a):
            others = frame.of_matrix(frame.read(folder_b, mixed=mixed))
        sides = (
            choose("A", results, a or (), only or ()),
            choose("B", others, b or (), only or ()),
        )
        outcome = comparison.compare(*sides, mixed=mixed)
    except ResultsError as e:
        print(e, file=sys.stderr)
        raise typer.Exit(2) from None
    sys.stdout.write(render(outcome, sides, form, shutil.get_terminal_size((WIDTH, 0)).columns))
    if form is Format.CSV:
        print(*notes(outcome), sep="\n", end="\n" if notes(outcome) else "", file=sys.stderr)
    code = check(gates, outcome.comparisons)
    if all(math.isnan(c.speed.low) for c in outcome.comparisons):
        print(
            "no verdict is possible: an interval needs two processes on each side; run more seeds or [measure] rounds",
            file=sys.stderr,
        )
        raise typer.Exit(2)
    raise typer.Exit(code)


if __name__ == "__main__":
    show_everything()
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    with saying_unwritten():
        app()
