"""Weights & Biases while a run is at work: online with a key and a server that answers, otherwise offline."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ampbench.bench.sinks.story import Story
from ampbench.bench.sinks.wandb import WandB
from tests.bench.sinks.sample import RUNS


class Answering(http.server.BaseHTTPRequestHandler):
    """Knows of nothing, and says so."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as answering:
        threading.Thread(target=answering.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{answering.server_port}"
        answering.shutdown()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: str) -> list[str]:
    """Put a library in wandb's place that keeps what is called, and refuses to begin online if the key is `wrong`."""
    made: list[str] = []

    def init(*, mode: str, **_: Any) -> SimpleNamespace:
        import os

        made.append(mode)
        if mode == "online" and os.environ["WANDB_API_KEY"] == "wrong":
            raise RuntimeError("CommError")
        ignore = lambda *_, **__: None  # noqa: E731
        where = SimpleNamespace(sync_dir=str(tmp_path))
        return SimpleNamespace(settings=where, summary={}, log=ignore, finish=ignore, define_metric=ignore)

    wandb = ModuleType("wandb")
    wandb.Settings, wandb.init, wandb.teardown = dict, init, lambda: made.append("teardown")  # type: ignore[attr-defined]
    wandb.setup = lambda: SimpleNamespace(settings=SimpleNamespace(base_url=server))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    return made


@pytest.mark.parametrize(
    ("key", "live", "mode", "expected"),
    [
        ("right", True, "online", ["online"]),
        ("wrong", True, "online", ["online", "teardown", "offline"]),
        ("", True, "online", ["offline"]),
        ("right", False, "online", ["offline"]),
        ("right", True, "offline", ["offline"]),
    ],
)
def test_online_is_for_runs_at_work_with_a_key(
    key: str,
    live: bool,
    mode: str,
    expected: list[str],
    calls: list[str],
    experiment: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_MODE", mode)
    run = WandB(experiment, "", live=live).open(Story.of(experiment, RUNS[0]))
    assert calls == expected
    assert run.end(None) == (expected == ["online"]), "whether the server has it"


def test_a_server_without_an_answer_is_not_waited_for(
    calls: list[str], experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "right")
    tracker = WandB(experiment, "", live=True)
    tracker.server = "http://127.0.0.1:9"
    tracker.open(Story.of(experiment, RUNS[0]))
    assert calls == ["offline"]


def test_a_project_that_is_typed_wins_over_the_environments(
    calls: list[str], experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert WandB(experiment, "", live=False).project == "ampbench-quick"
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    assert WandB(experiment, "", live=False).project == "theirs"
    assert WandB(experiment, "ours", live=False).project == "ours"
