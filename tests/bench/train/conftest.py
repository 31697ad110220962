"""Where decoded images are kept, and which of them were opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ampbench.bench.train.images import growing


@pytest.fixture
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, empty."""
    monkeypatch.setenv("AMPBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The images that were opened, in order."""
    opened: list[Path] = []
    decode = growing.decode_image

    def counted(path: Path, size: int) -> np.ndarray:
        opened.append(path)
        return decode(path, size)

    monkeypatch.setattr(growing, "decode_image", counted)
    return opened
