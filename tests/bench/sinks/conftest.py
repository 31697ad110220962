"""Nobody's sinks: no key, no settings, no server."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.sinks.sample import write_experiment
from tests.bench.sinks.stand_in import STAND_IN, SYNC


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    return write_experiment(tmp_path / "quick")


@pytest.fixture(scope="module", autouse=True)
def _nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run as nobody: no key, no settings, no way out of this machine. `TEST_SINKS` marks what is started."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*(name for name in os.environ if name.startswith(("WANDB_", "SWANLAB_", "XDG_"))), "NETRC"]:
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
        patch.setenv("TEST_SINKS", secrets.token_hex(8))
        yield


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def write(*, init: str = "pass", sync: str = SYNC) -> None:
        package = tmp_path / "stand_in" / "wandb"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(STAND_IN.format(init=init))
        (package / "__main__.py").write_text(sync)
        monkeypatch.setenv("PYTHONPATH", str(package.parent))

    return write
