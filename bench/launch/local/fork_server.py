"""A fresh process for every cell, in a twentieth of a second: forked from one that has loaded torch and nothing else.

cuDNN's autotuning, the caching allocator, compile caches and TF32 switches outlive the cell that set them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import advice
from ampbench.bench.store.run import Run
from ampbench.path import ROOT, for_children

PRELOAD = ["ampbench.bench.worker.entry", "pandas", __name__]
"""What the fork server imports; torch comes with it, and pandas is what Arrow imports at the first table that it makes.
An ImportError there is swallowed, so `check_workers` asks."""

TRIES = 2
"""Of starting a process: a server that somebody killed is replaced once, one that dies by itself dies again."""


def start_fork_server() -> ForkServerContext:
    """Start the fork server; it imports torch while the caller goes on with something else.

    It must stay a single thread, since it forks; OpenBLAS and Arrow's jemalloc would each start one at import.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with _server_environment():
        _ensure_running()
    return context


def start_worker(context: ForkServerContext, run: Run) -> tuple[ForkServerProcess, Connection]:
    """Start the worker of a run; return its process and where it reports.

    Raises:
        RequestError: the fork server cannot live here.
    """
    return start_process(context, _serve, run)


def check_workers(context: ForkServerContext) -> None:
    """See once that a worker can load what it needs, so that what cannot is one error and not one a cell.

    Raises:
        RequestError: with what an import said, and the next move.
    """
    process, messages = start_process(context, _greet)
    try:
        because = messages.recv()
    except EOFError:
        process.join()
        because = f"it {_ending(process.exitcode or 0)} while it loaded torch"
    process.join()
    if because:
        raise RequestError(f"no worker can start: {because}. {_NEXT}")


def start_process(
    context: ForkServerContext, target: Callable[..., None], *arguments: Any
) -> tuple[ForkServerProcess, Connection]:
    """Fork a process from the server, which is started anew if it has died; `target` gets a connection last.

    Raises:
        RequestError: it died again before it could fork; the message says how, and the next move.
    """
    because = ""
    for _ in range(TRIES):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=target, args=(*arguments, theirs))
        try:
            with _no_main_module(), _server_environment():
                _ensure_running()
                process.start()
            return process, ours
        except (EOFError, OSError) as e:
            ours.close()
            because = _last_words(e)
        finally:
            theirs.close()
    raise RequestError(f"the process that loads torch for all cells {because}. {_NEXT}")


def server_pid() -> int | None:
    """Return the process id of the fork server; None before it was started."""
    pid: int | None = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return pid


_NEXT = f"To see why: cd {ROOT} && {sys.executable} -c 'import ampbench.bench.worker.entry'"


def _last_words(error: Exception) -> str:
    """Say how the server ended; it is left for `ensure_running`, which collects it."""
    pid = server_pid()
    deadline_s = time.monotonic() + 5
    while pid and time.monotonic() < deadline_s:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found:
            return _ending(found.si_status if found.si_code == os.CLD_EXITED else -found.si_status)
        time.sleep(0.05)
    return f"does not answer ({type(error).__name__}: {error})"


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    hint = "; the kernel does this when memory runs out" if exit_code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-exit_code).name}{hint}"


def _greet(messages: Connection) -> None:
    """Run in a worker: say what it could not load, or None."""
    said: str | None = None
    try:
        import ampbench.bench.worker.entry  # noqa: F401
    except Exception as e:
        said = f"{type(e).__name__}: {' '.join(str(e).split())}".rstrip(". ") + advice(e)
    with suppress(BrokenPipeError):  # whoever asked was interrupted
        messages.send(said)


def _serve(run: Run, messages: Connection) -> None:
    """Run in the worker, where the import finds what the fork server has loaded; here it would load torch."""
    from ampbench.bench.worker.entry import serve

    serve(run, messages)


def _ensure_running() -> None:
    # Ctrl-C and a hang-up reach the whole group; here the launcher alone answers them, also while torch still loads.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    sys.path.insert(0, str(ROOT))  # newer Pythons' server takes it over, and finds `ampbench` before a user's own
    try:
        forkserver.ensure_running()
    finally:
        sys.path.remove(str(ROOT))
        for number, handler in before.items():
            signal.signal(number, handler)


def _server_environment() -> AbstractContextManager[None]:
    """Return a context in which every server is started, the first and one that replaces it."""
    # By PYTHONSAFEPATH the current folder, with an ampbench.py of a user's own say, does not come first.
    ours = {"PYTHONPATH": for_children(), "PYTHONSAFEPATH": "1"}
    return environment(OPENBLAS_NUM_THREADS="1", JE_ARROW_MALLOC_CONF="background_thread:false", **ours)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
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
