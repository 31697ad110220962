"""The boards of a cluster, and how Ray is asked for each."""

from __future__ import annotations

import os
import pickle
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from ampbench.bench.launch.cluster.versions import Versions, switches_of
from ampbench.bench.launch.ray import relay
from ampbench.bench.launch.ray.code import Code
from ampbench.bench.launch.ray.look import Found, Look
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import Machine, environment_id
from ampbench.bench.plan.errors import RequestError
from ampbench.schema.provenance import Provenance
from ampbench.schema.version import METHOD_VERSION

PROBE_S = 120.0
"""A node that does not say within this what it has is not used; it starts a Python and lists its boards."""


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A board of the cluster."""

    board: Board
    machine: Machine
    versions: Versions
    node_id: str
    """As Ray calls its node."""
    num_cpus: float
    """That Ray is to keep for a cell beside the board, or as the board."""
    num_gpus: int
    environ: Mapping[str, str | None]
    """Variables of the node's engine, by which it finds this board."""
    gpus: str | None
    """As `--gpus` on the node; None for what Ray lets it see."""
    niceness: int = 0
    """Of what measures there."""
    missing_gpus: int = 0
    """GPUs that Ray hands out on its node, where NVIDIA's driver finds none."""

    @cached_property
    def kind(self) -> str:
        """Boards whose numbers may be compared have the same."""
        return environment_id(self.machine, METHOD_VERSION)

    def origin(self, board: Board) -> Provenance:
        """Return the provenance of a row that the launcher writes for a cell of this seat."""
        return Provenance(
            **asdict(self.machine),
            board=board.board_id,
            host=board.host,
            environment_id=self.kind,
            method_version=METHOD_VERSION,
        )


def relay_on(ray: Any, node_id: str, code: Code, environ: Mapping[str, str | None], **resources: float) -> Any:
    """Start a relay on a node, once the cluster has so much to spare there."""
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    cloudpickle.register_pickle_by_value(relay)
    options: dict[str, Any] = {
        "num_cpus": 0,
        **resources,
        "max_restarts": 0,
        "max_task_retries": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False),
    }
    return ray.remote(relay.Relay).options(**options).remote(code.root, code.folder, code.archive, dict(environ))


def usable_nodes(ray: Any) -> dict[str, dict[str, Any]]:
    """Return id -> node, of all that are alive and have anything to compute with.

    Raises:
        RequestError: there is none.
    """
    alive = [node for node in ray.nodes() if node["Alive"]]
    found = {n["NodeID"]: n for n in alive if n["Resources"].get("CPU", 0) or n["Resources"].get("GPU", 0)}
    if not found:
        raise RequestError(
            f"--launcher ray: none of the {len(alive)} nodes of the cluster has CPUs or GPUs to compute with; "
            "join one with `ray start --address HOST:PORT`"
        )
    return found


def find_seats(ray: Any, code: Code, nodes: Mapping[str, Mapping[str, Any]]) -> list[Seat] | None:
    """Ask every node what it has; None if one has not this code.

    Raises:
        RequestError: a node has not what measuring takes, other versions than another, or boards of two models.
    """
    probes = {
        node_id: relay_on(ray, node_id, code, _environ(node["Resources"], is_probe=True))
        for node_id, node in nodes.items()
    }
    try:
        if not code.archive and not all(
            _asked(ray, nodes, {i: p.has.remote(code.digest) for i, p in probes.items()}).values()
        ):
            return None
        found = _looks(ray, nodes, probes, Look(switches=switches_of(os.environ)))
        names = _names(nodes, found)
        for node_id, one in found.items():
            if one.because:
                raise RequestError(f"node {names[node_id]}: {one.because}; or take the node out of the cluster")
        sharing = _sharing(found)
        own = {node_id: len(one.boards) for node_id, one in found.items()}
        totals = {node_id: sum(own[other] for other in ids) for node_id, ids in sharing.items()}
        for node_id, num in totals.items():
            if len(sharing[node_id]) > 1:
                look = Look(switches=switches_of(os.environ), cpu_boards=num)
                found |= _looks(ray, nodes, {node_id: probes[node_id]}, look)
        return [
            seat
            for node_id, one in found.items()
            for seat in _seats(
                node_id,
                nodes[node_id]["Resources"],
                names[node_id],
                one,
                {other: own[other] for other in sharing.get(node_id, ())},
            )
        ]
    finally:
        for probe in probes.values():
            ray.kill(probe)


def _asked(ray: Any, nodes: Mapping[str, Mapping[str, Any]], refs: Mapping[str, Any]) -> dict[str, Any]:
    """Return node id -> answer.

    Raises:
        RequestError: a node does not answer, or its engine cannot start.
    """
    _, late = ray.wait([*refs.values()], num_returns=len(refs), timeout=PROBE_S)
    answers = {}
    for node_id, ref in refs.items():
        name = f"node {nodes[node_id]['NodeManagerHostname']} ({nodes[node_id]['NodeManagerAddress']})"
        if ref in late:
            raise RequestError(f"{name} does not say what it has within {PROBE_S:g} s; take it out of the cluster")
        try:
            answers[node_id] = ray.get(ref)
        except ray.exceptions.RayTaskError as e:
            raise RequestError(f"{name}: {' '.join(str(e.cause).split())}; or take it out of the cluster") from None
        except ray.exceptions.RayError as e:
            words = " ".join(str(e).split())[:300]
            raise RequestError(f"{name} was lost while it was asked: {words}; start the same command again") from None
    return answers


def _looks(ray: Any, nodes: Mapping[str, Mapping[str, Any]], probes: Mapping[str, Any], look: Look) -> dict[str, Found]:
    request = pickle.dumps(look)
    said = _asked(ray, nodes, {node_id: probe.ask.remote(request, "") for node_id, probe in probes.items()})
    return {node_id: pickle.loads(answer[0]) for node_id, answer in said.items()}


def _environ(resources: Mapping[str, float], *, is_probe: bool = False) -> dict[str, str | None]:
    """Ray hides the GPUs from whoever asks for none of them, and knows none where it was told so."""
    if not resources.get("GPU"):
        return {"CUDA_VISIBLE_DEVICES": ""}
    return {"CUDA_VISIBLE_DEVICES": None} if is_probe else {}


def _names(nodes: Mapping[str, Mapping[str, Any]], found: Mapping[str, Found]) -> dict[str, str]:
    """Return node id -> name of its machine; two machines of one name have their addresses, too."""
    machines: dict[str, set[str]] = defaultdict(set)
    for node_id, one in found.items():
        machines[nodes[node_id]["NodeManagerHostname"]].add(one.boot_id)
    return {
        node_id: node["NodeManagerHostname"]
        if len(machines[node["NodeManagerHostname"]]) == 1
        else f"{node['NodeManagerHostname']}/{node['NodeManagerAddress']}"
        for node_id, node in nodes.items()
    }


def _sharing(found: Mapping[str, Found]) -> dict[str, list[str]]:
    """Return id of a node without GPUs -> ids of all that share its cores, itself among them, in one order."""
    own = {node_id: one for node_id, one in found.items() if not any(board.is_gpu for board in one.boards)}
    return {
        node_id: [
            other
            for other, two in own.items()
            if other == node_id or (one.boot_id and one.boot_id == two.boot_id and one.cores & two.cores)
        ]
        for node_id, one in own.items()
    }


def _seats(
    node_id: str, resources: Mapping[str, float], host: str, found: Found, sharing: Mapping[str, int]
) -> list[Seat]:
    """Return the seats of a node.

    Args:
        node_id: as Ray calls it.
        resources: of it, as Ray says.
        host: its name.
        found: what it has.
        sharing: id -> number of boards of all nodes on the same cores, itself among them; empty for one with GPUs.
    """
    num_cpus = resources.get("CPU", 0)
    places: list[tuple[Board, int, str | None, dict[str, str | None]]]
    if not sharing:
        names = dict.fromkeys(board.name for board in found.boards)
        if len(names) > 1:
            raise RequestError(
                f"node {host} has GPUs of several models ({', '.join(map(str, names))}), and Ray chooses among them by "
                "itself; show it those of one model, with CUDA_VISIBLE_DEVICES before `ray start`"
            )
        num = min(len(found.boards), int(resources.get("GPU", 0)))
        places = [(board, 1, None, {}) for board in found.boards[:num]]
        share: float = int(num_cpus / num) if num else 0
    else:
        own = sharing[node_id]
        before = [*sharing][: [*sharing].index(node_id)]
        first = sum(sharing[other] for other in before)
        environ: dict[str, str | None] = {"AMPBENCH_CPU_BOARDS": str(len(found.boards))}
        indices = range(first, first + own)
        places = [(found.boards[i], 0, str(i), environ) for i in indices]
        share = num_cpus / own if num_cpus < own else int(num_cpus / own)
    return [
        Seat(
            board=replace(board, host=host),
            machine=found.machines[found.boards.index(board)],
            versions=found.versions or Versions.here(),
            node_id=node_id,
            num_cpus=share,
            num_gpus=num_gpus,
            environ={**_environ(resources), **own_environ},
            gpus=gpus,
            niceness=found.niceness,
            missing_gpus=int(resources.get("GPU", 0)) if sharing else 0,
        )
        for board, num_gpus, gpus, own_environ in places
    ]
