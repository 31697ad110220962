"""What every search prints to."""

from __future__ import annotations

import io

import pytest
from rich.console import Console


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def unjoined(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search reads the records themselves; joining them after every trial would be most of a test's time."""
    monkeypatch.setattr("ampbench.bench.launch.sweep.join", lambda *_: True)
    monkeypatch.setattr("ampbench.bench.launch.sweep.git_state", lambda: (None, None))
