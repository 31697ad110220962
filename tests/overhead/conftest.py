"""Collects what was measured and prints it as one table against the targets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ampbench.bench.machine.provenance import cpu_name
from tests.overhead.interleave import Ratio

LINES: list[tuple[str, str, str, str, str]] = []

Judge = Callable[..., None]


@pytest.fixture
def judge() -> Judge:
    """Return a function that notes a ratio against its target, and fails only if the whole interval misses it.

    A ratio of two counts, which a slow machine does not change, has no control.
    """

    def note(what: str, ratio: Ratio, *, at_least: float, control: Ratio | None = None) -> None:
        verdict = "met" if ratio.low >= at_least else "missed" if ratio.high < at_least else "can't tell"
        LINES.append((what, f">= {at_least:g}", str(ratio), str(control or ""), verdict))
        assert verdict != "missed", f"{what}: {ratio} against {at_least}, control {control}"

    return note


@pytest.fixture
def note() -> Callable[[str, str, float, float], None]:
    """Return a function that notes a time in seconds beside its target; what a shared machine says of it is no test."""

    def note_time(what: str, target: str, measured_s: float, control_s: float) -> None:
        met = "met" if measured_s <= float(target.split()[1]) else "missed"
        LINES.append((what, target, f"{measured_s:.3f} s", f"{control_s:.3f} s", met))

    return note_time


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if LINES:
        machine = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu_name()
        terminalreporter.section(f"overhead on {machine}, torch {torch.__version__}")
        head = ("what", "target", "measured", "control", "verdict")
        widths = [max(len(line[i]) for line in [head, *LINES]) for i in range(5)]
        for line in [head, *LINES]:
            terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
