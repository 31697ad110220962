"""What boards a cluster has, by what its nodes say: none twice, none that Ray would mix up, no node without torch."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from ampbench.bench.launch.cluster.versions import Versions
from ampbench.bench.launch.ray import ray as launcher
from ampbench.bench.launch.ray import seats
from ampbench.bench.launch.ray.code import Code
from ampbench.bench.launch.ray.look import Found, Look, look
from ampbench.bench.launch.ray.ray import Ray
from ampbench.bench.launch.ray.seats import Seat, find_seats
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.errors import RequestError
from tests.support.pretended_ray import CPU, RayError, RayTaskError

HERE = Versions.here()


def gpus(*names: str) -> Found:
    boards = tuple(Board(board_id=f"GPU-{name}-{i}", name=name) for i, name in enumerate(names))
    return Found(boards=boards, machines=(CPU,) * len(boards), versions=HERE, boot_id="g")


def cpu(boot_id: str, *cores: int) -> Found:
    return Found(
        boards=(Board(board_id="cpu"),), machines=(CPU,), versions=HERE, boot_id=boot_id, cores=frozenset(cores)
    )


class Nodes:
    """Nodes that answer what they are told to; their relays are values, and so is what these say."""

    def __init__(self, **found: Found | Exception) -> None:
        self.found = found
        self.environs: dict[str, Any] = {}
        self.resources = {name: {"CPU": 8.0} for name in found}
        self.have_code = True
        self.killed: list[Any] = []
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": name,
                "Alive": True,
                "Resources": self.resources[name],
                "NodeManagerHostname": name.split("_")[0],
                "NodeManagerAddress": f"10.0.0.{i}",
            }
            for i, name in enumerate(self.found)
        ]

    def relay_on(self, ray: Any, node_id: str, code: Code, environ: Any) -> Any:
        self.environs[node_id] = environ

        def ask(request: bytes, token: str) -> Any:
            asked: Look = pickle.loads(request)
            one = self.found[node_id]
            if isinstance(one, Exception):
                return SimpleNamespace(said=one)
            if asked.cpu_boards:
                boards = tuple(Board(board_id=f"cpu:{i}/{asked.cpu_boards}") for i in range(asked.cpu_boards))
                one = replace(one, boards=boards, machines=one.machines * len(boards))
            return SimpleNamespace(said=[pickle.dumps(one)])

        has = SimpleNamespace(remote=lambda digest: SimpleNamespace(said=self.have_code))
        return SimpleNamespace(ask=SimpleNamespace(remote=ask), has=has)

    def wait(self, refs: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return refs, []

    def get(self, ref: Any) -> Any:
        if isinstance(ref.said, Exception):
            raise ref.said
        return ref.said

    def kill(self, relay: Any) -> None:
        self.killed.append(relay)


Find = Callable[[Nodes], list[Seat] | None]


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Find:
    def found(nodes: Nodes) -> list[Seat] | None:
        monkeypatch.setattr(seats, "relay_on", nodes.relay_on)
        return find_seats(nodes, Code(), seats.usable_nodes(nodes))

    return found


def test_nodes_that_share_cores_share_them_as_boards_and_others_have_all_of_theirs(find: Find) -> None:
    nodes = Nodes(a=cpu("x", 0, 1), a_2=cpu("x", 1, 2), b=cpu("y", 0, 1), c=cpu("z", 0))
    found = find(nodes) or []
    assert [str(seat.board) for seat in found] == ["a cpu:0/2", "a cpu:1/2", "b cpu", "c cpu"]
    assert [seat.gpus for seat in found] == ["0", "1", "0", "0"]
    assert [seat.environ["AMPBENCH_CPU_BOARDS"] for seat in found] == ["2", "2", "1", "1"]
    assert {seat.num_cpus for seat in found} == {8}, "nothing else of the cluster runs beside a cell"
    assert {seat.environ["CUDA_VISIBLE_DEVICES"] for seat in found} == {""}
    assert len(nodes.killed) == 4


def test_a_node_keeps_its_own_number_of_boards_among_those_that_share_its_cores(find: Find) -> None:
    more = tuple(Board(board_id=f"cpu:{i}/3") for i in range(3))
    nodes = Nodes(a=cpu("x", 0, 1), a_2=replace(cpu("x", 0, 1), boards=more, machines=(CPU,)), a_3=cpu("x", 1))
    assert [(seat.node_id, str(seat.board)) for seat in find(nodes) or []] == [
        ("a", "a cpu:0/5"),
        ("a_2", "a cpu:1/5"),
        ("a_2", "a cpu:2/5"),
        ("a_2", "a cpu:3/5"),
        ("a_3", "a cpu:4/5"),
    ]


def test_gpus_that_ray_hands_out_and_nobody_finds_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(a=cpu("x", 0), b=cpu("y", 0))
    nodes.resources["b"] = {"CPU": 8.0, "GPU": 2.0}
    monkeypatch.setattr(launcher, "connect", lambda address: nodes)
    monkeypatch.setattr(seats, "relay_on", nodes.relay_on)
    ray = Ray()
    _, said = ray.notes(ray.find_boards())
    assert said.startswith("b: Ray hands out 2 GPUs there, and NVIDIA's driver finds none: cells run on its CPU; look")


def test_two_machines_of_one_name_are_told_apart(find: Find) -> None:
    found = find(Nodes(localhost_1=cpu("x", 0), localhost_2=cpu("y", 0))) or []
    assert [str(seat.board) for seat in found] == ["localhost/10.0.0.0 cpu", "localhost/10.0.0.1 cpu"]


def test_a_gpu_has_its_share_of_the_nodes_cpus_and_ray_says_which_one_it_is(find: Find) -> None:
    nodes = Nodes(a=gpus("A100", "A100", "A100"))
    nodes.resources["a"] = {"CPU": 8.0, "GPU": 2.0}
    found = find(nodes) or []
    assert [(seat.num_gpus, seat.num_cpus, seat.gpus) for seat in found] == [(1, 4, None)] * 2
    assert "CUDA_VISIBLE_DEVICES" not in found[0].environ
    assert nodes.environs["a"] == {"CUDA_VISIBLE_DEVICES": None}, "a probe has no GPU of its own, and must see them"


def test_a_node_with_gpus_of_two_models_is_one_line(find: Find) -> None:
    nodes = Nodes(a=gpus("A100", "A6000"))
    nodes.resources["a"] = {"CPU": 8.0, "GPU": 2.0}
    with pytest.raises(RequestError, match=r"^node a has GPUs of several models \(A100, A6000\), and Ray chooses"):
        find(nodes)


def test_a_node_without_torch_is_one_line_with_what_to_install(find: Find) -> None:
    because = look(Look(switches={}), "not installed here: torch; python -m pip install torch").because
    with pytest.raises(RequestError, match=r"^node b: not installed here: torch; python -m pip install torch; or take"):
        find(Nodes(a=cpu("x", 0), b=Found(because=because)))


def test_an_engine_that_cannot_start_is_one_line(find: Find) -> None:
    error = RayTaskError()
    error.cause = RuntimeError("its engine ended with exit code 1: ModuleNotFoundError: No module named 'rich'")  # type: ignore[attr-defined]
    with pytest.raises(RequestError, match=r"^node a \(10\.0\.0\.0\): its engine ended with .*'rich'"):
        find(Nodes(a=error))


def test_a_node_that_is_lost_while_it_is_asked_is_one_line(find: Find) -> None:
    with pytest.raises(RequestError, match=r"was lost while it was asked: .*start the same command again"):
        find(Nodes(a=RayError("the node\nhas died")))


def test_code_is_sent_where_one_node_has_another(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes(a=cpu("x", 0))
    nodes.have_code = False
    assert find(nodes) is None
    monkeypatch.setattr(launcher, "connect", lambda address: nodes)
    ray = Ray()
    boards = ray.find_boards()
    assert "so it is sent" in ray.notes(boards)[0]


def test_a_node_of_another_torch_is_refused_unless_it_is_insisted_on(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes(a=cpu("x", 0), b=replace(cpu("y", 0), versions=replace(HERE, torch="0.1")))
    monkeypatch.setattr(launcher, "connect", lambda address: nodes)
    monkeypatch.setattr(seats, "relay_on", nodes.relay_on)
    with pytest.raises(RequestError, match=r"^node b has torch 0\.1, .* take the node out of the"):
        Ray().find_boards()
    assert len(Ray(mixed=True).find_boards().used) == 2


def test_nodes_of_two_kinds_are_said_and_their_machines_are_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(cpu("y", 0), machines=(replace(CPU, machine="a large CPU"),))
    nodes = Nodes(a=cpu("x", 0), b=replace(other, niceness=15))
    monkeypatch.setattr(launcher, "connect", lambda address: nodes)
    monkeypatch.setattr(seats, "relay_on", nodes.relay_on)
    ray = Ray()
    boards = ray.find_boards()
    first, second = ray.notes(boards)
    assert first == "Ray cluster of 2 machines, 2 boards, of 2 kinds: nothing is compared across them"
    assert second.startswith("b: cells run at niceness 15")
    assert [ray.machine_of(board).machine for board in boards.used] == ["a CPU", "a large CPU"]
