"""One page for one experiment: `python -m visualize.report results/quickstart`.

Writes `report.html` (one file that needs no network), `figures/*.png` and `summary.txt` (the table and the verdict in
plain text, for the terminal) into the folder. The summary comes first, since it takes a second and the figures take
longer; each part is told on stderr when it begins. A file is written completely or not at all. Exit code 0, or 2 with
one line on stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ampbench.schema.files import ASKED_WITH, REPORT, summary_file
from ampbench.schema.margins import MARGIN_POINTS
from ampbench.schema.partial import partial_of
from ampbench.terminal import WIDTH, saying_unwritten, show_everything, terminal_width, unwritten
from ampbench.visualize.findings import whys
from ampbench.visualize.judge.answer.answer import SETTLE, Answer, answers, settle_names
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.decision.wishes import WANTS, Wishes, wishes_of
from ampbench.visualize.judge.verdict import verdict
from ampbench.visualize.judge.verdict.looks import read_looks, write_looks
from ampbench.visualize.options import Folder, Mixed, Only
from ampbench.visualize.read import frame
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.read.frame import Results
from ampbench.visualize.show import settle_file, table, trials
from ampbench.visualize.show.page import render
from ampbench.visualize.show.picture_files import save
from ampbench.visualize.show.pictures import draw
from ampbench.visualize.show.summary_text import answers_text, summary_text


def write_report(
    folder: Path,
    *,
    mixed: bool = False,
    only: Sequence[str] = (),
    save_dir: Path | None = None,
    width: int = WIDTH,
    words_only: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    wishes: Wishes | None = None,
) -> Path:
    """Write the summary, the figures and the page of a folder of results; return the page's path.

    Args:
        folder: of the results.
        mixed: allow recipes that ran on different machines or versions; groups that are whole on one need no leave.
        only: conditions that select cells, `column=value`.
        save_dir: where all of it is written; by default the folder itself, or its `selected/` if there are conditions.
        width: columns of the terminal; if it is not the width of summary.txt, `summary-WIDTH.txt` is written too.
        words_only: write only the summary, and leave page and figures as they are.
        say: called with each answer in words, for the width of this terminal, before anything is written.
        tell: called with a line when a part is written or begun: first the summary, then the figures, then the page.
        wishes: what the answer chooses by.

    Raises:
        ResultsError: the results cannot be read or compared.
    """
    results = frame.read(folder, mixed=mixed, only=only)
    wishes = wishes or Wishes()
    # The trials of a search differ in more than their recipe: they are no matrix to judge by pairs.
    verdicts = [] if results.search else verdict.verdicts_of(results, margin=wishes.margin_points)
    rows = [] if results.search else standings(results, verdicts)
    to = save_dir or (folder / "selected" if only else folder)
    advice = trials.answers(results) or whys.with_whys(results, answers(results, rows, wishes, to=to))
    legend = table.legend(results, verdicts)
    for text in answers_text(results, advice, terminal_width()):
        say(text)  # a folder that cannot be written is answered, too
    flags = [*wishes.flags, *(f"--only {one}" for one in only)]
    asked = f"{ASKED_WITH}{' '.join(flags)}." if flags else ""
    page = to / REPORT
    (to / "figures").mkdir(parents=True, exist_ok=True)
    if not words_only:
        page.unlink(missing_ok=True)  # it would contradict the new summary if the drawing were interrupted
    for columns in dict.fromkeys((WIDTH, width)):
        said = (f"{asked}\n\n" if asked else "") + summary_text(results, rows, advice, columns)
        _write(to / summary_file(columns), said.encode(errors="replace"))
    _write_settle(to, results, advice)
    if not only:  # a part of a folder is looked at again as a part of the whole
        write_looks(folder, read_looks(folder).and_these(v.look for v in verdicts))
    tell(f"Summary: {to / summary_file(width)}")
    if words_only:
        return page
    pictures = draw(results, tell)
    save(pictures, to / "figures")
    tell("Writing the page …")
    _write(page, render(results, rows, legend, advice, pictures, asked=asked).encode())
    return page


def _write_settle(to: Path, results: Results, advice: list[Answer]) -> None:
    """Write the experiment files that would settle what is open, and remove those of a question that is settled."""
    open_questions = {one.settle_path: one.settle for one in advice}
    names = [*settle_names(results.subjects).values(), *(path.name for path in to.glob(f"{SETTLE}*.toml"))]
    for path in (to / name for name in dict.fromkeys(names)):  # subjects have other names since a machine joined
        if not settle_file.is_ours(path):
            continue
        if settle := open_questions.get(path):
            _write(path, settle_file.text_of(settle.toml).encode())
        else:
            path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    partial = partial_of(path)
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def main(
    folder: Folder,
    mixed: Mixed = False,
    only: Only = None,
    save_dir: Annotated[
        Path | None, typer.Option(help="Where to write the report; by default DIR, or DIR/selected with --only.")
    ] = None,
    width: Annotated[
        int,
        typer.Option(min=20, max=500, help=f"Columns of the text; if not {WIDTH}, summary-WIDTH.txt is written too."),
    ] = WIDTH,
    words_only: Annotated[bool, typer.Option("--words-only", help="Write only the summary, and draw nothing.")] = False,
    want: Annotated[str, typer.Option(help=f"What the advice goes by: {', '.join(WANTS)}.")] = "speed",
    max_memory: Annotated[
        str | None, typer.Option(help="Advise nothing that needs more, start-up included, as in 24GiB, 16GB or 800MiB.")
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Loss of test accuracy, in points, that is acceptable.")
    ] = MARGIN_POINTS,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of the training that you have in mind, for its hours.")
    ] = None,
) -> None:
    """Print the answer, and write report.html, figures/ and summary.txt into a folder of results."""
    os.environ["MPLBACKEND"] = "Agg"  # read when matplotlib is imported, after the words are written
    try:
        page = write_report(
            folder,
            mixed=mixed,
            only=only or (),
            save_dir=save_dir,
            width=width,
            words_only=words_only,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
            say=lambda text: print(text, flush=True),
            wishes=wishes_of(want, max_memory, margin, epochs),
        )
    except ResultsError as e:
        print(e, file=sys.stderr)
        raise typer.Exit(2) from None
    except OSError as e:
        print(f"{unwritten(e, folder)}, or write elsewhere: --save-dir DIR", file=sys.stderr)
        raise typer.Exit(2) from None
    print(page)


if __name__ == "__main__":
    show_everything()
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    with saying_unwritten():
        app()
