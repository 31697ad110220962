"""What all tests share: caches and locks of their own, one thread, and a way to write an experiment."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from ampbench.bench.train.statuses import Unsupported
from ampbench.path import ROOT as ROOT

# Before torch is imported: tests share the machine with whatever else runs on it, and a second OpenMP thread
# that waits for a core makes a tiny net a hundred times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Thousands of small files: in memory, where there is enough of it, they take a tenth of the time.
MEMORY, ENOUGH_BYTES = Path("/dev/shm"), 4 * 2**30
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while modules are imported, and later for none among them: a million objects that stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Under `-m gpu` read only the files that have such tests: a GPU machine may lack what the others import."""
    if config.option.markexpr.strip() != "gpu":
        return None
    if collection_path.is_dir():  # a conftest.py there would be imported
        return None if any(map(_asks_for_a_gpu, collection_path.rglob("test_*.py"))) else True
    return True if collection_path.name.startswith("test_") and not _asks_for_a_gpu(collection_path) else None


def _asks_for_a_gpu(path: Path) -> bool:
    return "mark.gpu" in path.read_text(encoding="utf-8")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Skip what this machine's packages lack, and nothing else that is unsupported.

    Pure 16-bit trainings on a torch whose fused optimizers do not update such weights on a CPU (up to 2.13), and fp8
    without torchao.
    """
    try:
        return (yield)
    except Unsupported as e:
        import torch

        if "does not update" in str(e) and tuple(map(int, torch.__version__.split(".")[:2])) < (2, 14):
            pytest.skip(str(e))
        if "pip install torchao" in str(e) and isinstance(e.__cause__, ImportError):
            pytest.skip(str(e))
        raise


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep decoded images and board locks away from those of real runs."""
    os.environ["AMPBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["AMPBENCH_LOCKS"] = str(tmp_path_factory.mktemp("locks"))


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Generator[None]:
    """Write as always, and wait for no disk: only a loss of power could tell, and thousands of files are written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def one_thread() -> Generator[None]:
    """Undo what a test set: one that left torch a second thread made every later one fight for the cores."""
    yield
    if "torch" in sys.modules and sys.modules["torch"].get_num_threads() != 1:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def experiment_file(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a TOML file and returns its path."""

    def write(text: str, name: str = "trial.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
