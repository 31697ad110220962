"""The connection to a Ray cluster: an existing one, or one of this machine alone that ends with this process."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import signal
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import how_to_install

ANSWER_S = 5.0
"""A cluster that does not answer within this is not there; Ray itself would try for more than a minute."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of gRPC begins, which Ray's servers are: HTTP/2, with an empty frame of settings (RFC 9113, 3.4)."""

SETTINGS = 4
"""The type of the frame that such a server answers with."""

BUSY = "start the same command again where less else runs; /tmp/ray/session_latest/logs has Ray's own words"
"""Ray gives its raylet 30 s, which two clusters that start beside a full load on two cores have overrun."""

FORMS = "write auto, HOST:PORT or ray://HOST:PORT, as in 10.0.0.1:6379"

ANEW = "python -m pip install --force-reinstall -r requirements-ray.txt"


def connect(address: str | None) -> Any:
    """Connect to a cluster, unless this process is connected; return the module `ray`.

    Args:
        address: of an existing one, as `--ray-address`; None for RAY_ADDRESS, or else for a cluster of this machine.

    Raises:
        RequestError: Ray is not installed, nothing answers there, or the cluster is of another version.
    """
    if importlib.util.find_spec("ray") is None:
        raise RequestError(f"--launcher ray: {how_to_install(['ray'])}")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    where, named = named_address(address, os.environ)
    if where == "local":
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a cluster that only this process knows needs no token
        os.environ.setdefault("RAY_worker_niceness", "0")
        os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")  # it would kill a cell before its memory is full
    else:
        _require_answer(where, named)
    with _own_signals():
        try:
            import ray
        except ImportError as e:  # a file is there by its name, and half an installation
            raise RequestError(f"--launcher ray: Ray cannot be imported ({e}); install it anew: {ANEW}") from None
        if not ray.is_initialized():
            _silence(ray)
            if where == "auto" and (found := _last_started()):
                where, named = found, f"{named} ({found})"
                _require_answer(where, named)
            _init(ray, where, named)
    return ray


def named_address(flag: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the address that is meant, `local` for none, and how a person gave it.

    Args:
        flag: as `--ray-address`.
        environ: may hold RAY_ADDRESS, which is also what Ray takes for `auto`.

    Raises:
        RequestError: the flag is empty, as of a variable that is not set.
    """
    variable = environ.get("RAY_ADDRESS", "")
    if flag is not None and not flag.strip():
        raise RequestError(f"--ray-address {flag!r}: is empty; {FORMS}, or leave it out to use this machine alone")
    if variable and flag in (None, "auto"):
        return variable, f"RAY_ADDRESS={variable}"
    return flag or "local", f"--ray-address {flag}"


def _last_started() -> str | None:
    """Return what Ray takes `auto` for; None if it cannot tell. A cluster that was killed is still named."""
    try:
        from ray._private.services import canonicalize_bootstrap_address

        found = canonicalize_bootstrap_address("auto")
    except Exception:  # not of Ray's public interface; ray.init says what is wrong
        return None
    return None if found is None else str(found)


def _init(ray: Any, where: str, named: str) -> None:
    own: dict[str, Any] = {"include_dashboard": False} if where == "local" else {}
    try:
        with _quiet(where):
            ray.init(where, log_to_driver=False, logging_level=logging.CRITICAL, **own)
    except Exception as e:
        said = _in_a_line(str(e) or str(e.__context__ or "")) or type(e).__name__
        if "ersion mismatch" in said:
            raise RequestError(f"{named}: {_versions(said)}") from None
        if where == "local":
            raise RequestError(f"--launcher ray: no cluster could be started here: {said}; {BUSY}") from None
        next_move = (
            "is that the port of Ray's client server? It is 10001 unless `ray start` said another; on a node of the "
            "cluster itself, give HOST:PORT as `ray start` printed it"
            if where.startswith("ray://")
            else f"`ray status --address {where}` says whether a cluster is there; its Ray must be {ray.__version__} "
            "as here, and the command runs on one of its nodes, or gives ray://HOST:10001"
        )
        raise RequestError(f"{named}: cannot be used ({said}); {next_move}") from None


def _in_a_line(said: str) -> str:
    """Return what Ray says without the traceback of its server, which ends in what happened."""
    before, mark, trace = said.partition("Traceback (most recent call last)")
    last = [line for line in trace.splitlines() if line.strip()][-1:] if mark else []
    return " ".join(" ".join([before, *last]).split()).rstrip(".:")


@contextmanager
def _quiet(where: str) -> Iterator[None]:
    """Context in which Ray's libraries say nothing on the screen while an existing cluster is sought.

    They write a line for every second try, past Python; what became of it is in the exception.
    """
    if where == "local":
        yield
        return
    with warnings.catch_warnings(), Path(os.devnull).open("wb") as nowhere:
        warnings.simplefilter("ignore")
        sys.stderr.flush()
        screen = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)


def _versions(said: str) -> str:
    """Say Ray's own many lines in one."""
    rays, pythons = (re.findall(rf"{what}: (\S+)", said) for what in ("Ray", "Python"))
    if len(rays) < 2 or len(pythons) < 2:
        return f"{said}; install the same Ray and Python on both"
    return (
        f"the cluster has Ray {rays[0]} with Python {pythons[0]}, and here is Ray {rays[1]} with Python {pythons[1]}: "
        f"install the same here, as in: python -m pip install ray=={rays[0]}"
    )


def _require_answer(where: str, named: str) -> None:
    """Refuse an address where no server of Ray's answers, in bounded time."""
    if where == "auto":
        return  # Ray finds out which it is
    parts = parts_of(where)
    if parts is None:
        raise RequestError(f"{named}: {FORMS}")
    why = why_mute(*parts)
    if why:
        way_out = "unset RAY_ADDRESS" if named.startswith("RAY_ADDRESS") else "leave --ray-address out"
        raise RequestError(
            f"{named}: no Ray cluster answers there ({why}); `ray start --head` on a machine begins one "
            f"and prints its address, or {way_out} to use this machine alone"
        )


def parts_of(where: str) -> tuple[str, int] | None:
    """Return host and port of an address; None if it has another form."""
    match = re.fullmatch(r"(?:ray://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})", where)
    return None if match is None or int(match[2]) > 65535 else (match[1].strip("[]"), int(match[2]))


def why_mute(host: str, port: int) -> str | None:
    """Return why no server of gRPC answers; None if one does, or one that may be asked only with a certificate."""
    try:
        with socket.create_connection((host, port), timeout=ANSWER_S) as peer:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return None
            peer.settimeout(ANSWER_S)
            peer.sendall(PREFACE)
            answer = peer.recv(9)
    except OSError as e:
        return (e.strerror or str(e) or type(e).__name__).lower()
    return None if len(answer) > 3 and answer[3] == SETTINGS else "another service"


def _silence(ray: Any) -> None:
    """Keep what Ray's daemons say off the screen: 20 lines of a log for each node that goes.

    A launcher says in one line what was lost; Ray's own words are in its session's logs.
    """
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    with suppress(AttributeError):
        ray._private.worker.print_to_stdstream = lambda *_, **__: None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this command's answers to signals: Ray replaces them, and would end the process at once."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError):  # not the main thread, as in a notebook's
                signal.signal(number, handler)
