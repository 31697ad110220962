"""`python -m ampbench`: the commands, from any folder, on any terminal."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from ampbench.__main__ import COMMANDS, make_app
from ampbench.terminal import HANDLER, printable, show_everything, unwritten
from tests.conftest import ROOT
from tests.support.thinned import thinned

DEMO = ROOT / "results" / "demo"


def ampbench(*words: str | Path, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the repository on the path, as it is after an installation."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    command = [sys.executable, "-m", "ampbench", *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, encoding="utf-8", errors="replace", timeout=300
    )


def ampbench_here(*words: str | Path, cwd: Path) -> Result:
    """Run a command in this process, which has its libraries loaded."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with contextlib.chdir(cwd):
            runner = CliRunner(env=dict.fromkeys(("PYTHONUTF8", "PYTHONIOENCODING")))  # a command sets them
            return runner.invoke(make_app(), [str(word) for word in words])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_every_command_is_listed_and_answers_help_from_any_folder(tmp_path: Path) -> None:
    listed = ampbench("--help", cwd=tmp_path).stdout
    for name, command in COMMANDS.items():
        assert f"  {name} " in listed
        assert command.about[:30] in listed
    said = ampbench_here("compare", "--help", cwd=tmp_path)
    assert (said.exit_code, "python -m ampbench compare [OPTIONS]" in said.stdout) == (0, True)


def test_a_models_folder_of_ones_own_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise SystemExit('the wrong models')")
    said = ampbench("plan", ROOT / "experiments" / "quickstart.toml", "--results", tmp_path, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert re.search(r"To run: \d+ cells", said.stdout)


def test_a_wrong_request_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for words in (["compare", DEMO], ["report"], ["plan", tmp_path / "none.toml"], ["one", "--model", "VGG18"]):
        said = ampbench_here(*words, cwd=tmp_path)
        assert (said.exit_code, len(said.stderr.strip().splitlines())) == (2, 1), said.stderr


def test_a_report_prints_its_answer_before_it_says_where_its_page_is(tmp_path: Path) -> None:
    said = ampbench_here("report", DEMO, "--words-only", "--save-dir", tmp_path, "--want", "memory", cwd=tmp_path)
    first, *_, last = said.stdout.splitlines()
    assert first == "LeNet on AMD EPYC (avx512_bf16), 2 cores: train in bf16 at batch 64."
    assert last == str(tmp_path / "report.html")


CHOSEN = ("--a", "precision=fp32", "--b", "precision=bf16")
LATIN = {"PYTHONIOENCODING": "iso-8859-1"}
ASCII = {"PYTHONIOENCODING": "ascii"}
C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("terminal", thinned([LATIN, ASCII, C], kept=1), ids=["latin-1", "ascii", "LC_ALL=C"])
def test_a_terminal_without_our_signs_loses_no_number(tmp_path: Path, terminal: dict[str, str]) -> None:
    whole = ampbench_here("compare", DEMO, *CHOSEN, cwd=tmp_path)
    poor = ampbench("compare", DEMO, *CHOSEN, cwd=tmp_path, **terminal)
    assert (whole.exit_code, poor.returncode) == (0, 0), poor.stderr
    [(speed, spread), *_] = re.findall(r"(\d\d,\d{3}) ± (\d+)", whole.stdout)
    [ratio] = re.findall(r"\d\.\d\dx \[.*?\]", whole.stdout)
    assert ratio in poor.stdout
    if terminal is not LATIN:
        assert f"{speed} +/- {spread}" in poor.stdout
    plan = ampbench("plan", ROOT / "experiments" / "demo.toml", "--results", tmp_path, cwd=tmp_path, **terminal)
    assert plan.returncode == 0, plan.stderr


def test_a_text_that_no_encoding_holds_is_replaced() -> None:
    show_everything()
    assert "±→x".encode("ascii", errors=HANDLER) == b"+/-->x"
    assert "日".encode("ascii", errors=HANDLER) == b"?"
    assert "a\udcffb".encode("utf-8", errors=HANDLER) == b"a?b"
    assert printable("a\udcffb") == "a?b"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", errors=HANDLER)


def test_a_folder_in_the_place_of_a_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    (tmp_path / ".partial").touch()
    with pytest.raises(OSError, match="directory") as refused:
        (tmp_path / ".partial").replace(tmp_path / "report.html")
    said = f"{tmp_path / 'report.html'}: cannot be written (Is a directory); mend that path"
    assert unwritten(refused.value, "stdout") == said


@pytest.mark.parametrize("columns", ["0", "00", ""])
def test_a_width_of_no_columns_loses_no_line(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some terminals say 0 where they do not know."""
    monkeypatch.setenv("COLUMNS", columns)
    show_everything()
    console = Console(file=io.StringIO())
    console.print("Verdict: fp32")
    assert console.file.getvalue() == "Verdict: fp32\n"


@pytest.mark.parametrize("closed", thinned(["<&- >&- 2>&-", "<&-", ">&-", "2>&-"], kept=1))
def test_a_closed_stream_is_no_traceback_and_no_file_is_printed_into(tmp_path: Path, closed: str) -> None:
    plan = ["plan", str(ROOT / "experiments" / "demo.toml"), "--results", "r"]
    for words in (plan, ["compare", str(DEMO), *CHOSEN], ["memory", str(tmp_path / "none")]):
        shell = f'"$0" -m ampbench "$@" {closed}'
        said = subprocess.run(
            ["sh", "-c", shell, sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert said.returncode == 2 * (words[0] == "memory"), said.stderr
        assert "Traceback" not in said.stderr


@pytest.mark.whole
def test_a_poor_terminal_changes_no_result_and_shows_every_number(tmp_path: Path) -> None:
    """The cells of an ASCII terminal are `ok`, with the model's name and the verdict in the signs that are there."""
    file = tmp_path / "poor.toml"
    file.write_text(
        'question = "Läuft es? ±"\n[fixed]\nmodel = "LeNet"\ndata = "synthetic"\nbatch_size = 256\nnum_threads = 1\n'
        'epochs = 1\naugment = []\n[matrix]\nprecision = ["fp32", "bf16_amp"]\n',
        encoding="utf-8",
    )
    said = ampbench("run", file, "--results", tmp_path, cwd=tmp_path, **ASCII, **C)
    assert said.returncode == 0, said.stderr
    rows = pq.read_table(tmp_path / "poor" / "cells.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["ok", "ok"], [row["because"] for row in rows]
    assert said.stdout.isascii()
    assert re.search(r"^LeNet on .*: (train|stay|keep)", said.stdout, re.MULTILINE)
    assert "Question: L?uft es? +/-" in said.stdout
    rerun = ampbench("run", file, "--results", tmp_path, cwd=tmp_path)
    assert "Question: Läuft es? ±" in rerun.stdout


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere", "x" * 300, "b\udcfe"])
def test_a_place_for_results_that_cannot_be_is_one_line(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = ROOT / "experiments" / "demo.toml"
    for words in (["run", file, "--results", place], ["report", place], ["compare", place, place]):
        said = ampbench_here(*words, cwd=tmp_path)
        assert (said.exit_code, len(said.stderr.strip().splitlines())) == (2, 1), said.stderr[-600:]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the checkout's list of files")
def test_a_wheel_has_every_file_that_is_no_module() -> None:
    """The templates of the page, say: a checkout has them anyway, and only an installed ampbench would miss them."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    folders = {package: ROOT.joinpath(*package.split(".")) for package in named}
    packed = {
        path.resolve() for package, patterns in named.items() for p in patterns for path in folders[package].glob(p)
    }
    command = ["git", "ls-files", "ampbench", "bench", "models", "visualize"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    others = {(ROOT / name).resolve() for name in listed if not name.endswith(".py") and (ROOT / name).is_file()}
    assert others
    assert others <= packed, f"name in [tool.setuptools.package-data]: {sorted(others - packed)}"
