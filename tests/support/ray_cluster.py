"""A Ray cluster of this machine for tests: a head that computes nothing, and nodes of one CPU each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil

FAST = {
    "health_check_initial_delay_ms": 5000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 20000,
    "health_check_failure_threshold": 4,
}
"""A node that is dead is known as such within 3 s instead of 15 s; one that a busy machine keeps waiting is not."""

SMALL = {"object_store_memory": 80 * 2**20}


@dataclass
class RayCluster:
    """A cluster, and its nodes by name."""

    cluster: Any

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self, **environ: str) -> Any:
        """Add a node whose processes have these variables, too."""
        return self.cluster.add_node(num_cpus=1, env_vars=environ, **SMALL)

    def remove(self, node: Any) -> None:
        """Remove a node as a machine that is switched off."""
        self.cluster.remove_node(node, allow_graceful=False)

    def kill(self, node: Any) -> None:
        """Kill the daemon of a node and all that it started, with SIGKILL; nobody tells the cluster."""
        [raylet] = [info.process for infos in node.all_processes.values() for info in infos if _is_raylet(info.process)]
        for process in [*psutil.Process(raylet.pid).children(recursive=True), psutil.Process(raylet.pid)]:
            with suppress(psutil.NoSuchProcess):  # it has just ended by itself
                process.send_signal(signal.SIGKILL)

    def drop(self, node: Any) -> None:
        """Forget a node that was killed, so that the next test finds a whole cluster."""
        if node in self.cluster.worker_nodes:
            self.cluster.remove_node(node, allow_graceful=False)


def _is_raylet(process: Any) -> bool:
    try:
        return psutil.Process(process.pid).name() == "raylet"
    except psutil.Error:
        return False


@contextmanager
def ray_cluster(home: str) -> Iterator[RayCluster]:
    """Start a cluster without nodes; stop it with all that it started.

    Args:
        home: where Ray may write what it keeps for a user.
    """
    ours = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_worker_niceness": "0",
        "HOME": home,
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": FAST, **SMALL}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield RayCluster(cluster)
    finally:
        cluster.shutdown()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
