"""Ctrl-C while a command still loads its libraries."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ampbench.interruption import INTERRUPTED, end_quietly, raise_again
from tests.conftest import ROOT

ENTRIES = {
    "run_matrix.py": ["bench/run_matrix.py"],
    "run_one.py": ["bench/run_one.py"],
    "advise.py": ["bench/advise.py"],
    "check_env.py": ["bench/check_env.py"],
    "ampbench": ["-m", "ampbench"],
    "installed": ["-c", "import ampbench.__main__ as m; m.show_everything = lambda: __import__('torch'); m.main()"],
    "worker": ["-m", "ampbench.bench.worker"],
    "prediction": ["-m", "ampbench.bench.worker.passes.prediction"],
    "layer table": ["-m", "ampbench.bench.worker.layer_table"],
}
SLOW = "print('loading', flush=True); input(); raise SystemExit(7)\n"


def interrupted_while_loading(words: list[str], tmp_path: Path, action: signal.Handlers) -> tuple[int, str]:
    """Return exit code and stderr of a command to which Ctrl-C comes while a library loads, and waits for a line."""
    for library in ("torch",) if words[0] == "-c" else ("typer", "torch"):
        (tmp_path / f"{library}.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, *words], preexec_fn=lambda: signal.signal(signal.SIGINT, action),
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n", process.communicate()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate("\n" if action == signal.SIG_IGN else None, timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("entry", ENTRIES)
def test_ctrl_c_while_libraries_load_ends_a_command_without_a_word(entry: str, tmp_path: Path) -> None:
    assert interrupted_while_loading(ENTRIES[entry], tmp_path, signal.SIG_DFL) == (INTERRUPTED, "")


def test_a_command_in_the_background_goes_on(tmp_path: Path) -> None:
    """Under nohup, or with & in a script, a process begins with SIGINT ignored."""
    assert interrupted_while_loading(ENTRIES["run_matrix.py"], tmp_path, signal.SIG_IGN) == (7, "")


@pytest.fixture
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("handler")
def test_only_python_s_own_handler_is_taken_away_and_given_back() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_quietly()
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    raise_again()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    for other in (signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(signal.SIGINT, other)
        end_quietly()
        raise_again()
        assert signal.getsignal(signal.SIGINT) is other
