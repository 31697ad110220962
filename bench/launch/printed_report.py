"""The report of a folder: drawn in a process of its own, its summary printed as wide as the terminal is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

from rich.console import Console

from ampbench.bench.launch.progress import PLAIN
from ampbench.bench.plan.packages import how_to_install
from ampbench.bench.store.folder import SUMMARY, Folder
from ampbench.bench.store.join import why_not_whole
from ampbench.path import ROOT

MISSING_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'$", re.MULTILINE)

WIDTH = 100
"""Columns of the summary's file, and of what is printed where there is no terminal."""
NARROWEST, WIDEST = 20, 160
"""Columns that a summary is written for; longer lines would be hard to read."""


def print_report(folder: Folder, console: Console, *, mixed: bool) -> None:
    """Draw the report, unless one speaks of these very tables, and print its summary."""
    width = min(max(shutil.get_terminal_size((WIDTH, 0)).columns, NARROWEST), WIDEST)
    whole = folder.path / SUMMARY
    summary = whole if width == WIDTH else whole.with_stem(f"{whole.stem}-{width}")
    if not summary.exists():
        flags = [*["--mixed"] * mixed, *["--words-only"] * whole.exists(), f"--width={width}"]
        command = [sys.executable, "-m", "ampbench.visualize.report", str(folder.path), *flags]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace")
        if result.returncode:
            said = result.stderr.strip()
            absent = MISSING_MODULE.search(said)
            because = f"no report: {how_to_install([absent[1]])}" if absent else said
            console.print(because, style="red", **PLAIN)
            found = why_not_whole(folder)
            known = f"{found}; the same command joins the runs again" if found else "The tables are whole"
            console.print(f"{known}; to draw them again: python -m visualize.report {folder.path}", **PLAIN)
            return
    console.print(summary.read_text(encoding="utf-8").rstrip(), **PLAIN)
