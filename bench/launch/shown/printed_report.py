"""The report of a folder, made in a process of its own: its words are printed at once, then its page is drawn."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ampbench.bench.launch.shown.progress import PLAIN
from ampbench.bench.plan.packages import how_to_install
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import why_not_whole
from ampbench.path import ROOT
from ampbench.schema.files import ASKED_WITH, REPORT, SUMMARY, summary_file
from ampbench.terminal import terminal_width

MISSING_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'$", re.MULTILINE)


def print_report(folder: Folder, console: Console, *, mixed: bool, wishes: Sequence[str] = ()) -> None:
    """Print the words of the report, draw its page and print where it is; what speaks of these tables is kept.

    Args:
        folder: of the results.
        console: to print to.
        mixed: whether rows of several machines or versions stand side by side.
        wishes: flags of the report, as `--want=memory`, that other readers of the folder do not have: it is made anew.
    """
    width = terminal_width()
    summary, page = folder.path / summary_file(width), folder.path / REPORT
    is_said = not wishes and _is_for_all(summary)
    is_drawn = not wishes and page.exists() and _is_for_all(folder.path / SUMMARY)
    if is_said:
        console.print(_words(summary), **PLAIN)
    if is_said and is_drawn:
        console.print(f"\nPage: {page}", **PLAIN)
        return
    flags = [*wishes, *["--mixed"] * mixed, *["--words-only"] * is_drawn, f"--width={width}"]
    complaints = []
    try:
        with _told([str(folder.path), *flags]) as (lines, process), _line_on(console) as progress:
            for line in lines:
                if line == f"Summary: {summary}":
                    if not is_said:
                        console.print(_words(summary), **PLAIN)
                    is_said = True
                elif not line.endswith("…"):
                    complaints.append(line)
                elif progress:
                    progress.update(Text(line), refresh=True)
    except KeyboardInterrupt:
        console.print(f"\nThe page is not drawn. To draw it: {_draw_again(folder)}", **PLAIN)
        return
    if process.returncode:
        _explain("\n".join(complaints).strip(), folder, console, what="page" if is_said else "report")
    else:
        console.print(f"\nPage: {page}", **PLAIN)


def _is_for_all(summary: Path) -> bool:
    """Whether a summary is there, which is deleted when the tables change, and not by the wishes of one reader."""
    return summary.exists() and not _words(summary).startswith(ASKED_WITH)


def _words(summary: Path) -> str:
    return summary.read_text(encoding="utf-8").rstrip()


@contextmanager
def _told(words: list[str]) -> Iterator[tuple[Iterator[str], subprocess.Popen[str]]]:
    """Context of a process that makes a report, and of the lines that it tells; it does not outlive the context."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ampbench.visualize.report", *words],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        assert process.stderr is not None, "it is a pipe"
        with process.stderr as told:
            yield (line.rstrip("\n") for line in told), process
        process.wait()
    finally:
        process.kill()
        process.wait()


@contextmanager
def _line_on(console: Console) -> Iterator[Live | None]:
    """Context of a line of a terminal that shows progress and disappears at the end; None in a log."""
    if not console.is_terminal:
        yield None
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield live


def _draw_again(folder: Folder) -> str:
    return f"python -m ampbench report {shlex.quote(str(folder.path))}"


def _explain(said: str, folder: Folder, console: Console, *, what: str) -> None:
    """Print why there is no report or no page of it, whether the tables are whole, and how to draw it."""
    absent = MISSING_MODULE.search(said)
    console.print(f"no {what}: {how_to_install([absent[1]])}" if absent else said, style="red", **PLAIN)
    found = why_not_whole(folder)
    known = f"{found}; the same command joins the runs again" if found else "The tables are whole"
    console.print(f"{known}; to draw them again: {_draw_again(folder)}", **PLAIN)
