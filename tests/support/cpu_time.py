"""Where the tests' CPU time goes, which a busy machine does not lengthen as it does the clock.

    python -m pytest -p tests.support.cpu_time -m "not gpu and not whole"

Prints the seconds of each file and of the heaviest tests, with those of the processes that a test waited for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

NUM_FILES, NUM_TESTS = 40, 40
KEY = "cpu_s"

_outside: list[float] = []


def cpu_s() -> float:
    """Seconds of CPU of this process and of the children that it has waited for."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give each of a test's three reports the time since the last one: setup, call, teardown."""
    report = yield
    now = cpu_s()
    report.user_properties = [(KEY, now - getattr(item.session, KEY, now))]
    setattr(item.session, KEY, now)
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is before the first test is the imports' and the collection's."""
    setattr(session, KEY, cpu_s())
    _outside.append(cpu_s())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell it the process that reports (pytest-xdist)."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[KEY] = _outside[-1]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear it there."""
    _outside.append(getattr(node, "workeroutput", {}).get(KEY, 0.0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tests: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in getattr(report, "user_properties", ()):
                if key == KEY:
                    tests[report.nodeid] += value
    files: Counter[str] = Counter()
    for name, seconds in tests.items():
        files[name.partition("::")[0]] += seconds
    write = terminalreporter.write_line
    before = ", ".join(f"{s:.0f}" for s in _outside)
    terminalreporter.section("CPU seconds")
    write(f"{sum(tests.values()):.0f} in {len(tests):,} tests; before the first of them, a process: {before}")
    for title, counted, most in (("files", files, NUM_FILES), ("tests", tests, NUM_TESTS)):
        write(title)
        for name, seconds in counted.most_common(most):
            write(f"{seconds:8.1f} {name}")
