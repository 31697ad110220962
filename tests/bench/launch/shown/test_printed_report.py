"""What a user reads after the last cell: the words first, whatever becomes of the page."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from ampbench.bench.launch.shown import printed_report
from ampbench.bench.launch.shown.printed_report import print_report
from ampbench.bench.store.folder import Folder

WORDS = "Train in bf16.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(path=tmp_path)


@pytest.fixture
def reporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script in the place of the process that makes the report; `$words` and `$page` are its files."""

    def write(script: str) -> None:
        path = tmp_path / "reporter"
        where = f"words={tmp_path / 'summary.txt'}\npage={tmp_path / 'report.html'}\n"
        path.write_text(f"#!/bin/sh\n{where}{script}")
        path.chmod(0o755)
        monkeypatch.setattr(printed_report.sys, "executable", str(path))

    monkeypatch.setenv("COLUMNS", "100")
    return write


def printed(folder: Folder, file: io.StringIO | None = None) -> str:
    console = Console(file=file or io.StringIO(), width=100)
    print_report(folder, console, mixed=False)
    return console.file.getvalue()


SAYS = f"printf '{WORDS.strip()}' > $words; echo Summary: $words >&2\n"


class Announcing(io.StringIO):
    """A stream that makes a file when something is written to it."""

    def __init__(self, announcement: Path) -> None:
        super().__init__()
        self.announcement = announcement

    def write(self, text: str) -> int:
        self.announcement.touch()
        return super().write(text)


def test_words_are_printed_before_a_figure_is_drawn(folder: Folder, reporter: Callable[[str], None]) -> None:
    seen = folder.path / "seen"
    reporter(SAYS + f"for i in $(seq 100); do test -e {seen} && break; sleep 0.1; done\ntest -e {seen} && touch $page")
    said = printed(folder, Announcing(seen))
    assert said == f"{WORDS}\nPage: {folder.path / 'report.html'}\n"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A process that hears Ctrl-C: the workers of pytest-xdist ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_while_drawing_keeps_the_words_and_says_how_to_draw(
    folder: Folder, reporter: Callable[[str], None], interruptible: None
) -> None:
    pid = folder.path / "pid"
    reporter(
        SAYS + f"echo $$ > {pid}; echo 'Drawing the page: figures 0/9 …' >&2; sleep 0.3; kill -INT $PPID; exec sleep 60"
    )
    said = printed(folder)
    assert said == f"{WORDS}\nThe page is not drawn. To draw it: python -m ampbench report {folder.path}\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_report_that_speaks_of_these_tables_is_not_made_again(
    folder: Folder, reporter: Callable[[str], None]
) -> None:
    reporter("exit 3")
    for name in ("summary.txt", "report.html"):
        (folder.path / name).write_text(WORDS)
    assert printed(folder) == f"{WORDS}\nPage: {folder.path / 'report.html'}\n"


def test_a_report_by_the_wishes_of_one_reader_is_made_anew_for_others(
    folder: Folder, reporter: Callable[[str], None]
) -> None:
    reporter(SAYS + 'case "$*" in *--words-only*) exit 3 ;; esac; echo drawn > $page')
    for name in ("summary.txt", "report.html"):
        (folder.path / name).write_text(f"Asked with --want memory.\n\n{WORDS}")
    assert printed(folder) == f"{WORDS}\nPage: {folder.path / 'report.html'}\n"
    assert (folder.path / "report.html").read_text() == "drawn\n"


def test_a_page_whose_drawing_was_interrupted_is_drawn_and_the_words_are_printed_once(
    folder: Folder, reporter: Callable[[str], None]
) -> None:
    reporter(SAYS + "echo drawn > $page")
    (folder.path / "summary.txt").write_text(WORDS)
    assert printed(folder).count(WORDS) == 1
    assert (folder.path / "report.html").read_text() == "drawn\n"


def test_words_for_another_width_are_written_without_a_drawing(folder: Folder, reporter: Callable[[str], None]) -> None:
    reporter(SAYS + 'case "$*" in *--words-only*) ;; *) exit 3 ;; esac')
    for name in ("summary.txt", "report.html"):
        (folder.path / name).write_text(WORDS)
    assert printed(folder) == f"{WORDS}\nPage: {folder.path / 'report.html'}\n"


@pytest.mark.parametrize(("script", "what"), [("", "report"), (SAYS, "page")])
def test_a_missing_package_is_named_with_what_cannot_be_made(
    folder: Folder, reporter: Callable[[str], None], script: str, what: str
) -> None:
    reporter(script + "echo \"ModuleNotFoundError: No module named 'seaborn'\" >&2; exit 1")
    said = printed(folder)
    assert f"no {what}: not installed here: seaborn" in said
    assert said.startswith(WORDS) == bool(script)
    assert f"to draw them again: python -m ampbench report {folder.path}" in said


def test_warnings_of_a_drawing_are_not_shown(folder: Folder, reporter: Callable[[str], None]) -> None:
    reporter(SAYS + "head -c 300000 /dev/zero | tr '\\0' x >&2; touch $page")
    assert printed(folder) == f"{WORDS}\nPage: {folder.path / 'report.html'}\n"
