"""An address where no cluster can be used is one line within seconds, whatever answers there or does not."""

from __future__ import annotations

import os
import platform
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ampbench.bench.launch.choose import launcher_of
from ampbench.bench.launch.ray import cluster
from ampbench.bench.launch.ray.cluster import connect
from ampbench.bench.launch.ray.code import sent_code
from ampbench.bench.launch.ray.ray import _token
from ampbench.bench.launch.ray.relay import digest_of, unpacked
from ampbench.bench.launch.ray.seats import usable_nodes
from ampbench.bench.plan.errors import RequestError
from ampbench.path import ROOT

MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.40.0
    Python: 3.12.3
This process on 10.0.0.2 was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""
"""As ray._private.utils.check_version_info says it."""


@pytest.fixture
def server() -> Iterator[Callable[[bytes | None], int]]:
    """Return a function that opens a port where each visitor is told the same; None never says a word."""
    opened: list[socket.socket] = []

    def serve(answer: bytes | None) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        opened.append(listening)
        if answer is not None:
            threading.Thread(target=_answer, args=(listening, answer), daemon=True).start()
        return int(listening.getsockname()[1])

    yield serve
    for listening in opened:
        listening.close()


def _answer(listening: socket.socket, answer: bytes) -> None:
    while True:
        try:
            visitor, _ = listening.accept()
        except OSError:
            return
        with visitor:
            visitor.recv(100)
            visitor.sendall(answer)


def refused(address: str) -> str:
    begun = time.monotonic()
    with pytest.raises(RequestError) as raised:
        connect(address)
    assert time.monotonic() - begun < 60
    assert str(raised.value).startswith(f"--ray-address {address}: ")
    return str(raised.value)


def test_a_closed_port_is_one_line() -> None:
    said = refused("127.0.0.1:1")
    assert "no Ray cluster answers there (connection refused); `ray start --head`" in said
    assert "no Ray cluster answers" in refused("ray://127.0.0.1:1")


def test_another_service_and_one_that_never_answers_are_one_line(
    server: Callable[[bytes | None], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ANSWER_S", 0.3)
    assert "answers there (another service)" in refused(f"127.0.0.1:{server(b'HTTP/1.1 400 Bad Request')}")
    assert "answers there (timed out)" in refused(f"127.0.0.1:{server(None)}")


@pytest.mark.parametrize(
    "address", ["nonsense", "10.0.0.1", "10.0.0.1:", "http://10.0.0.1:6379", "10.0.0.1:x", "127.0.0.1:99999"]
)
def test_an_address_of_another_form_is_one_line(address: str) -> None:
    assert "write auto, HOST:PORT or ray://HOST:PORT, as in 10.0.0.1:6379" in refused(address)


@pytest.mark.parametrize(
    ("flag", "variable", "where", "named"),
    [
        (None, None, "local", "--ray-address None"),
        (None, "", "local", "--ray-address None"),
        (None, "10.0.0.1:6379", "10.0.0.1:6379", "RAY_ADDRESS=10.0.0.1:6379"),
        ("auto", "10.0.0.1:6379", "10.0.0.1:6379", "RAY_ADDRESS=10.0.0.1:6379"),  # so Ray takes it
        ("auto", None, "auto", "--ray-address auto"),
        ("10.0.0.2:1", "10.0.0.1:6379", "10.0.0.2:1", "--ray-address 10.0.0.2:1"),
    ],
)
def test_an_address_is_named_as_a_person_gave_it(
    flag: str | None, variable: str | None, where: str, named: str
) -> None:
    environ = {} if variable is None else {"RAY_ADDRESS": variable}
    assert cluster.named_address(flag, environ) == (where, named)


@pytest.mark.parametrize("flag", ["", " "])
def test_an_empty_address_is_no_cluster_of_this_machine(flag: str) -> None:
    with pytest.raises(RequestError, match=rf"^--ray-address '{flag}': is empty; write auto, .* or leave it out"):
        cluster.named_address(flag, {})


@pytest.mark.parametrize("flag", [None, "auto"])
def test_a_variable_where_nothing_answers_is_named(flag: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(RequestError, match=r"^RAY_ADDRESS=127\.0\.0\.1:1: no Ray .* or unset RAY_ADDRESS to use this"):
        connect(flag)


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed: requirements-ray.txt")
def test_a_cluster_that_was_killed_and_that_ray_still_takes_auto_for_is_one_line_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "_last_started", lambda: "127.0.0.1:1")
    with pytest.raises(
        RequestError, match=r"^--ray-address auto \(127\.0\.0\.1:1\): no Ray cluster answers there \(conn"
    ):
        connect("auto")


def test_what_rays_libraries_say_while_a_cluster_is_sought_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """Their line a second, a warning of its client and the traceback of its server: one line is left."""

    def init(*_: Any, **__: Any) -> None:
        os.write(2, b"gcs_client.cc:210: Failed to get cluster ID from GCS server\n")
        warnings.warn("Ray Client connection timed out.", stacklevel=1)
        raise ConnectionError("Initialization failure from server:\nTraceback (most recent call last):\n  a\nE: busy\n")

    with pytest.raises(RequestError) as raised:
        cluster._init(SimpleNamespace(init=init), "ray://10.0.0.1:1", "--ray-address ray://10.0.0.1:1")
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"
    assert str(raised.value) == (
        "--ray-address ray://10.0.0.1:1: cannot be used (Initialization failure from server: E: busy); is that the "
        "port of Ray's client server? It is 10001 unless `ray start` said another; on a node of the cluster itself, "
        "give HOST:PORT as `ray start` printed it"
    )


def test_ray_that_is_not_installed_is_one_line_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    launcher = launcher_of("ray", gpus="all", allow_shared=False)
    with pytest.raises(RequestError, match=r"^--launcher ray: not installed here: ray; python.* install 'ray>="):
        launcher.find_boards()


def test_half_an_installation_of_ray_is_one_line_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text("raise ImportError('libray.so: no such file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(
        RequestError, match=r"^--launcher ray: Ray cannot be imported \(libray\.so: no such file\); ins"
    ):
        connect(None)


def test_a_cluster_that_does_not_start_here_is_one_line_with_the_next_move() -> None:
    def init(*_: Any, **__: Any) -> None:
        raise RuntimeError("The current node timed out during startup.\nThis could happen because it is overloaded.")

    with pytest.raises(RequestError, match=r"^--launcher ray: no cluster .* overloaded; start the same command again"):
        cluster._init(SimpleNamespace(init=init), "local", "")


def test_a_cluster_of_another_version_is_one_line_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: Any, **__: Any) -> None:
        raise RuntimeError(MISMATCH)

    with pytest.raises(RequestError) as raised:
        cluster._init(SimpleNamespace(init=init), "10.0.0.1:6379", "--ray-address 10.0.0.1:6379")
    assert str(raised.value) == (
        "--ray-address 10.0.0.1:6379: the cluster has Ray 2.40.0 with Python 3.12.3, and here is Ray 2.60.0 with "
        "Python 3.11.7: install the same here, as in: python -m pip install ray==2.40.0"
    )


def test_an_error_of_ray_without_words_is_said_by_its_cause() -> None:
    """As Ray 2.54 answers where the cluster has 2.60."""

    def init(*_: Any, **__: Any) -> None:
        try:
            raise ConnectionError("Could not read 'temp_dir' from GCS.")
        except ConnectionError:
            raise ConnectionError  # noqa: B904

    with pytest.raises(RequestError) as raised:
        cluster._init(SimpleNamespace(init=init, __version__="2.54.0"), "10.0.0.1:6379", "--ray-address 10.0.0.1:6379")
    assert str(raised.value) == (
        "--ray-address 10.0.0.1:6379: cannot be used (Could not read 'temp_dir' from GCS); `ray status --address "
        "10.0.0.1:6379` says whether a cluster is there; its Ray must be 2.54.0 as here, and the command runs on one "
        "of its nodes, or gives ray://HOST:10001"
    )


def test_a_cluster_without_anything_to_compute_with_is_one_line() -> None:
    ray = SimpleNamespace(nodes=lambda: [{"NodeID": "a", "Alive": True, "Resources": {"memory": 1.0}}])
    with pytest.raises(RequestError, match="none of the 1 nodes of the cluster has CPUs or GPUs"):
        usable_nodes(ray)


def test_files_of_killed_launchers_go_and_no_others(tmp_path: Path) -> None:
    """One that lives, one of another machine, and files whose names only begin alike stay."""
    here, old = f"@{platform.node()}", f".seen-{'0' * 16}"
    kept = [f"{old}-{os.getpid()}{here}", f"{old}-999999998@elsewhere", f".seen-a{here}", f".seen-{'9' * 30}{here}"]
    for name in (*kept, f"{old}-999999998{here}"):
        (tmp_path / name).touch()
    with _token(tmp_path) as token:
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, token.name])
    assert len(list(tmp_path.iterdir())) == len(kept)


def test_signals_are_answered_as_before_whatever_ray_installs() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with cluster._own_signals():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is before


def test_code_that_is_sent_is_whole_and_brings_the_users_own_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.py").write_text("x = 1\n")
    (tmp_path / "mine" / "weights.bin").write_bytes(bytes(10))
    (tmp_path / "single.py").write_text("x = 2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = sent_code(["mine.net:Net", "single:Net", "LeNet", "timm:x"])
    place = Path(unpacked(code.archive))
    assert (place / "mine" / "net.py").is_file()
    assert (place / "single.py").is_file()
    assert not (place / "mine" / "weights.bin").exists()
    for name in ("bench/launch/cluster/node.py", "models/__init__.py", "schema/version.py", "path.py"):
        assert (place / "ampbench" / name).read_bytes() == (ROOT / "ampbench" / name).read_bytes()
    assert unpacked(code.archive) == str(place), "it is unpacked once"
    assert digest_of(str(place)) != digest_of(str(ROOT)) != ""
    assert digest_of(str(tmp_path / "nothing")) == ""
