"""The report of a folder: drawn in a process of its own, its summary printed as wide as the terminal is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

from rich.console import Console

from ampbench.bench.launch.progress import PLAIN
from ampbench.bench.plan.packages import how_to_install
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import why_not_whole
from ampbench.path import ROOT
from ampbench.schema.files import REPORT, SUMMARY, summary_file
from ampbench.terminal import terminal_width

MISSING_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'$", re.MULTILINE)


def print_report(folder: Folder, console: Console, *, mixed: bool) -> None:
    """Draw the report, unless one speaks of these very tables, and print its summary."""
    width = terminal_width()
    summary = folder.path / summary_file(width)
    page = (folder.path / REPORT).exists()  # without it, a report was interrupted while it drew
    if not summary.exists() or not page:
        is_drawn = page and (folder.path / SUMMARY).exists()
        flags = [*["--mixed"] * mixed, *["--words-only"] * is_drawn, f"--width={width}"]
        command = [sys.executable, "-m", "ampbench.visualize.report", str(folder.path), *flags]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace")
        if result.returncode:
            said = result.stderr.strip()
            absent = MISSING_MODULE.search(said)
            because = f"no report: {how_to_install([absent[1]])}" if absent else said
            console.print(because, style="red", **PLAIN)
            found = why_not_whole(folder)
            known = f"{found}; the same command joins the runs again" if found else "The tables are whole"
            console.print(
                f"{known}; to draw them again: python -m ampbench report {shlex.quote(str(folder.path))}", **PLAIN
            )
            return
    console.print(summary.read_text(encoding="utf-8").rstrip(), **PLAIN)
