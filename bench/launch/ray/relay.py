"""What Ray runs on a node: a process between the launcher and the engine there, which passes on what either says.

Ray sends this file itself to the node, where nothing of ours may be installed: it imports the standard library alone.
The engine is a process of its own, so that neither Ray's threads nor its environment are part of a measurement.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

CODE = ("ampbench", "bench", "models")
"""Folders of the repository that a node runs."""

ENGINE = "ampbench.bench.launch.ray.engine"


def digest_of(root: str) -> str:
    """Return a hash of the code below a folder; empty if there is none."""
    files = sorted({path.resolve() for name in CODE for path in Path(root, name).rglob("*.py")})
    summed = hashlib.sha256()
    for file in files:
        summed.update(str(file.relative_to(Path(root).resolve())).encode())
        summed.update(file.read_bytes())
    return summed.hexdigest() if files else ""


def unpacked(archive: bytes) -> str:
    """Return the folder of what is in an archive; it is unpacked once for each user and version."""
    digest = hashlib.sha256(archive).hexdigest()[:16]
    place = Path(tempfile.gettempdir(), f"ampbench-code-{os.getuid()}-{digest}")
    if not (place.is_dir() and place.stat().st_uid == os.getuid()):
        fresh = tempfile.mkdtemp(prefix="ampbench-code-")
        zipfile.ZipFile(io.BytesIO(archive)).extractall(fresh)
        try:
            Path(fresh).rename(place)
        except OSError:  # another relay was faster, or the name is somebody else's
            return fresh
    return str(place)


class Relay:
    """A Ray actor; it holds the resources of the cells that it passes on, and ends with its engine."""

    def __init__(self, root: str, folder: str, archive: bytes, environ: dict[str, str | None]) -> None:
        """Start nothing yet.

        Args:
            root: holds the code, if there is no archive.
            folder: where the command was typed; likewise.
            archive: the code, with the user's own models; empty where it is here already.
            environ: variables of the engine, None for one that it must not have.
        """
        if archive:
            root = folder = unpacked(archive)
        self.root, self.folder, self.environ = root, folder, environ
        self.engine: subprocess.Popen[bytes] | None = None
        self.messages: Connection | None = None
        self.said = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as this process
        self.sees: dict[str, bool] = {}

    def has(self, digest: str) -> bool:
        """Whether this code is here already, and the folder where the command was typed."""
        return Path(self.folder).is_dir() and digest_of(self.root) == digest

    def ask(self, request: bytes, token: str) -> list[bytes]:
        """Give the engine something to do; return what it says first.

        Args:
            request: for the engine.
            token: a file that the launcher has written among its results; who sees it can write them itself.
        """
        if self.messages is None:
            self._start()
        if token not in self.sees:
            self.sees[token] = not token or (Path(token).is_file() and os.access(Path(token).parent, os.W_OK))
        assert self.messages is not None
        try:
            self.messages.send((request, not self.sees[token]))
        except OSError:
            self._fail()
        return self.next()

    def next(self) -> list[bytes]:
        """Wait until the engine says something; return all that it has said."""
        assert self.messages is not None
        try:
            said = [self.messages.recv_bytes()]
            while self.messages.poll():
                said.append(self.messages.recv_bytes())
        except (EOFError, OSError):
            self._fail()
        return said

    def _start(self) -> None:
        with suppress(OSError):  # Ray's workers come after everything else on a machine, which a measurement must not
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, os.getppid()))
        from multiprocessing import get_context

        context: BaseContext = get_context("spawn")
        self.messages, theirs = context.Pipe()
        paths = [self.root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environ = {**os.environ, **self.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
        # What it inherits on its standard input ends with this process, however that ends, and it with that.
        self.engine = subprocess.Popen(
            [sys.executable, "-P", "-m", ENGINE, str(theirs.fileno())],
            cwd=self.folder,
            env={name: value for name, value in environ.items() if value is not None},
            stdin=subprocess.PIPE,
            stdout=self.said,
            stderr=self.said,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def _fail(self) -> Any:
        assert self.engine is not None
        code = self.engine.wait()
        self.said.seek(max(0, self.said.tell() - 4096))
        lines = self.said.read().decode(errors="replace").split("\n")
        words = next((line for line in reversed(lines) if line.strip()), "").strip()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise RuntimeError(f"its engine {how}{f': {words}' if words else ''}")
