"""Which cores a worker is bound to, on machines whose boards and NUMA nodes are made up, and that it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ampbench.bench.machine import affinity
from ampbench.bench.machine.affinity import cores_of, list_of, shares
from ampbench.bench.machine.discovery import choose_boards, find_boards
from tests.conftest import ROOT
from tests.support.machines import DIVIDED, EIGHT_OF_80_GB, FakeBoard, FakeDriver, kernel
from tests.support.stand_in_gpu import with_gpus

TWO_SOCKETS = ["0-31,64-95"] * 4 + ["32-63,96-127"] * 4
"""128 hyperthreads of 64 cores: 64 is the second thread of core 0. Four boards on each socket."""


def machine(root: Path, near: list[str], threads: int = 128, first_bus: int = 0x3A) -> Path:
    """Write the folders of a kernel: the cores near each board, and which hyperthreads are of one core."""
    files = {
        f"sys__bus__pci__devices__0000:{first_bus + i:02x}:00.0__local_cpulist": f"{cores}\n"
        for i, cores in enumerate(near)
    }
    files |= {
        f"sys__devices__system__cpu__cpu{core}__topology__thread_siblings_list": f"{core % (threads // 2)},"
        f"{core % (threads // 2) + threads // 2}\n"
        for core in range(threads)
    }
    return kernel(root, **files)


def cores_found(
    driver: FakeDriver, root: Path, given: str, monkeypatch: pytest.MonkeyPatch, gpus: str | None = None, **environ: str
) -> list[str]:
    """Return the cores of each board that is used, in turn."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores_of(given)))
    return [board.cores for board in choose_boards(find_boards(environ, driver, root), gpus).used]


def test_the_cores_of_a_node_are_shared_out_among_its_boards_with_hyperthreads_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cores_found(EIGHT_OF_80_GB, machine(tmp_path, TWO_SOCKETS), "0-127", monkeypatch)
    assert found[:2] == ["0-7,64-71", "8-15,72-79"]
    assert found[4:6] == ["32-39,96-103", "40-47,104-111"]
    sets = [cores_of(cores) for cores in found]
    assert len(frozenset().union(*sets)) == sum(map(len, sets)) == 128, "disjoint, and all of them"


def test_a_share_does_not_depend_on_who_else_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = machine(tmp_path, TWO_SOCKETS)
    assert cores_found(EIGHT_OF_80_GB, root, "0-127", monkeypatch, "5") == ["40-47,104-111"]
    assert cores_found(EIGHT_OF_80_GB, root, "0-127", monkeypatch, CUDA_VISIBLE_DEVICES="5,0") == [
        "40-47,104-111",
        "0-7,64-71",
    ]


ONE, TWO = FakeDriver(FakeBoard("H100", 80)), FakeDriver(FakeBoard("H100", 80), FakeBoard("H100", 80))


@pytest.mark.parametrize(
    ("driver", "near", "given", "found"),
    [
        pytest.param(ONE, ["0-127"], "0-127", [""], id="one node and one board: nothing is bound"),
        pytest.param(ONE, ["32-63,96-127"], "0-127", ["32-63,96-127"], id="the far node is left alone"),
        pytest.param(TWO, ["0-127"] * 2, "0-127", ["0-31,64-95", "32-63,96-127"], id="two boards on one node"),
        pytest.param(TWO, ["0-2"] * 2, "0-127", ["0", "1"], id="shares are alike, and a core is left over"),
        pytest.param(TWO, ["0,64"] * 2, "0-127", ["", ""], id="too few cores to share out"),
        pytest.param(TWO, ["0-31", ""], "0-127", ["0-31", ""], id="the kernel does not tell of one"),
        pytest.param(TWO, ["0-31", "rubbish"], "0-127", ["0-31", ""], id="nor can it be read"),
        pytest.param(TWO, ["0-31", "32-63"], "64-127", ["", ""], id="none of the node may be used"),
        pytest.param(TWO, ["0-31", "32-63"], "0-7,40-41", ["0-7", "40-41"], id="a container with some of each"),
        pytest.param(TWO, ["0-63"] * 2, "0-7", ["0-3", "4-7"], id="a container with a few, and both boards"),
    ],
)
def test_cores_are_bound_where_a_machine_has_several_nodes_or_boards(
    driver: FakeDriver, near: list[str], given: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cores_found(driver, machine(tmp_path, near), given, monkeypatch) == found


def test_cores_that_a_scheduler_has_shared_out_already_belong_to_the_boards_that_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job with one of eight boards and 16 of a node's 64 hyperthreads has all of these, and not a quarter."""
    root = machine(tmp_path, TWO_SOCKETS)
    assert cores_found(EIGHT_OF_80_GB, root, "8-15,72-79", monkeypatch, CUDA_VISIBLE_DEVICES="1") == [""]
    assert cores_found(EIGHT_OF_80_GB, root, "8-15,40-47", monkeypatch, CUDA_VISIBLE_DEVICES="1") == ["8-15"]


def test_a_mig_slice_has_its_share_of_its_board_s_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = FakeDriver(*DIVIDED.boards, FakeBoard("H100", 80))
    monkeypatch.setattr(FakeDriver, "nvmlDeviceGetMigDeviceHandleByIndex", lambda self, handle, index: -1 - index)
    monkeypatch.setattr(FakeDriver, "nvmlDeviceGetMaxMigDeviceCount", lambda self, handle: 2 * (handle == 0))
    monkeypatch.setattr(
        FakeDriver, "nvmlDeviceGetUUID", lambda self, handle: f"{'GPU-aa' if handle >= 0 else 'MIG-cc'}{abs(handle)}"
    )
    root = machine(tmp_path, ["0-7"] * 2, threads=16)
    assert cores_found(both, root, "0-15", monkeypatch, "MIG-cc2") == ["2-3"]
    assert cores_found(both, root, "0-15", monkeypatch, CUDA_VISIBLE_DEVICES="MIG-cc1,MIG-cc2") == ["0-1", "2-3"]
    assert cores_found(both, root, "0-15", monkeypatch) == ["4-7"], "the whole board beside it"


def test_shares_are_disjoint_alike_and_of_whole_cores() -> None:
    siblings = {core: core % 6 for core in range(12)}
    for num in range(1, 8):
        found = shares(frozenset(range(12)), num, siblings)
        assert len(found) == num
        assert {len(share) for share in found} == {2 * (6 // num)}
        assert len(frozenset().union(*found)) == sum(map(len, found))
        assert all({siblings[core] for core in share} == {core % 6 for core in share} for share in found)
    assert shares(frozenset(), 2, {}) == [frozenset(), frozenset()]


@pytest.mark.parametrize("text", ["", "0", "0-3", "0-3,8", "1,3,5", "0-7,64-71"])
def test_a_list_of_cores_is_read_and_written_as_the_kernel_writes_it(text: str) -> None:
    assert list_of(cores_of(f"{text}\n")) == text


BOUND = """
import json, os, sys, threading
from ampbench.bench.machine.affinity import bind
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import provenance

def facts():
    row = provenance(Board(board_id="cpu"))
    return [row.cpu_affinity, row.num_cores, row.environment_id, sorted(os.sched_getaffinity(0))]

cores, num_threads = sys.argv[1], int(sys.argv[2])
go, other, said = threading.Event(), [], [facts()]
early = threading.Thread(target=lambda: (go.wait(), other.append(sorted(os.sched_getaffinity(0)))))
early.start()
is_bound = bind(cores, num_threads)
go.set()
early.join()
print(json.dumps([is_bound, other[0], said[0], facts()]))
"""


@pytest.mark.parametrize("num_threads", [0, 1, 2])
def test_a_bound_process_is_of_the_same_machine_and_says_what_it_was_bound_to(num_threads: int) -> None:
    """All threads are bound, also those there are already; a cell with more threads than cores is left free."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        pytest.skip("one core is all there is")
    command = [sys.executable, "-c", BOUND, str(mine[-1]), str(num_threads)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    is_bound, early, before, after = json.loads(done.stdout)
    assert is_bound == (num_threads < 2)
    assert before == [None, len(mine), before[2], mine]
    assert after == ([str(mine[-1]), len(mine), before[2], mine[-1:]] if is_bound else before)
    assert early == (mine[-1:] if is_bound else mine)


def test_cores_that_are_not_there_bind_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: pytest.fail("bound"))
    assert not affinity.bind("")
    assert not affinity.bind("100000-100007")
    assert affinity.bound_cores() is None


def test_the_driver_s_own_bindings_tell_where_a_board_is(tmp_path: Path) -> None:
    """The real pynvml, on the stand-in for the driver: two boards on buses EA and EB."""
    root = machine(tmp_path, ["0", "1"], first_bus=0xEA)
    code = (
        "import os, sys, pathlib; from ampbench.bench.machine.discovery import find_boards; "
        "os.sched_getaffinity = lambda _: {0, 1}; "
        "print([(board.near, board.cores) for board in find_boards(os.environ, root=pathlib.Path(sys.argv[1]))])"
    )
    environ = with_gpus(*["NVIDIA H200"] * 2)
    command = [sys.executable, "-c", code, str(root)]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.stdout.strip() == "[('0', '0'), ('1', '1')]", done.stderr
