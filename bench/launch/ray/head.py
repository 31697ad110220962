"""The head of a cluster while cells run: Ray waits a minute for one that is gone, and then ends the launcher itself."""

from __future__ import annotations

import atexit
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from ampbench.bench.launch.ray.cluster import named_address, parts_of, why_mute
from ampbench.bench.plan.errors import RequestError

AGAIN_S = 5.0
"""Between two tries to reach a head that did not answer."""

TRIES = 3
"""A head that misses so many in a row is gone; a busy machine or a hiccup of the network misses one."""

ASKED_EVERY_S = 15.0
"""How often a launcher that hears nothing looks whether the head is there."""


@dataclass
class Head:
    """The server by which this process reaches the cluster."""

    address: str = ""
    """HOST:PORT; empty where nobody asks, as in tests without a cluster."""
    is_gone: bool = False

    @classmethod
    def of(cls, ray: Any, flag: str | None) -> Head:
        """Return that of the cluster that this process is connected to.

        Args:
            ray: the module, connected.
            flag: as `--ray-address`.
        """
        where, _ = named_address(flag, os.environ)
        if where.startswith("ray://"):
            return cls(address=where.removeprefix("ray://"))
        return cls(address=str(ray.get_runtime_context().gcs_address))

    def require(self) -> None:
        """See that it answers.

        Raises:
            RequestError: it is gone.
        """
        parts = parts_of(self.address)
        if parts is None:
            return
        for i in range(TRIES):
            why = why_mute(*parts)
            if why is None:
                return
            if i + 1 < TRIES:
                time.sleep(AGAIN_S)
        self.is_gone = True
        end_without_ray()
        raise RequestError(
            f"the head of the Ray cluster at {self.address} is gone ({why}): finished cells are kept; start a cluster "
            "again, and the same command goes on"
        )


def end_without_ray() -> None:
    """Let this process end as it would without Ray, whose own end waits for the head and has another exit code."""

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2)

    atexit.register(leave)  # the last that is registered is the first that runs
