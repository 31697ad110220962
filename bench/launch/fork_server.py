"""A fresh process for every cell, in a twentieth of a second: forked from one that has loaded torch and nothing else.

cuDNN's autotuning, the caching allocator, compile caches and TF32 switches outlive the cell that set them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess

from bench.store.folder import ROOT
from bench.store.run import Run

PRELOAD = ["bench.worker.process", "pandas", __name__]
"""What the fork server imports; torch comes with it, and pandas is what Arrow imports at the first table that it makes.
An ImportError there is swallowed, so a test looks."""


def start_fork_server() -> ForkServerContext:
    """Start the fork server; it imports torch while the caller goes on with something else.

    It must stay a single thread, since it forks; OpenBLAS and Arrow's jemalloc would each start one at import.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    path = os.pathsep.join([str(ROOT), *sys.path])
    # Ctrl-C reaches the whole group; here the launcher alone answers it, also while the server still loads torch.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _environment(OPENBLAS_NUM_THREADS="1", JE_ARROW_MALLOC_CONF="background_thread:false", PYTHONPATH=path):
            forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)
    return context


def start_worker(context: ForkServerContext, run: Run) -> tuple[ForkServerProcess, Connection]:
    """Start the worker of a run; return its process and where it reports."""
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(run, theirs))
    with _no_main_module():
        process.start()
    theirs.close()
    return process, ours


def _serve(run: Run, messages: Connection) -> None:
    """Run in the worker, where the import finds what the fork server has loaded; here it would load torch."""
    from bench.worker.process import serve

    serve(run, messages)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables for a child that is started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide the command from multiprocessing, which would import it again in every worker."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
