"""Cores for the worker of each board: those of the board's NUMA node, shared out among all boards of that node.

A worker that runs on the far side of a machine reaches its GPU through the link between the sockets, and two workers
on the same cores slow each other down. Shares are of one size and of all boards there are, at work or not, so that a
number does not depend on who else is measured. Hyperthreads of a core stay together (Linux kernel documentation,
admin-guide/cputopology and ABI/testing/sysfs-bus-pci, `local_cpulist`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ampbench.bench.machine.board import Board

Cores = frozenset[int]

_given: Cores | None = None
"""The cores of this process before it was bound."""


def given_cores() -> Cores:
    """Return the cores that this process may use, or might before it was bound to some of them."""
    return frozenset(os.sched_getaffinity(0)) if _given is None else _given


def bound_cores() -> str | None:
    """Return the cores that this process was bound to, as in 0-7,64-71; None if it was not."""
    return None if _given is None else list_of(os.sched_getaffinity(0))


def bind(cores: str, num_threads: int | None = None) -> bool:
    """Bind this process, and what it will start, to some of its cores; return whether it is bound.

    A cell that asks for more threads than that is left free: threads that wait for each other on too few cores spin.

    Args:
        cores: a list as in 0-7,64-71; empty for none.
        num_threads: that the cell asks for, if it does.
    """
    global _given
    wanted = cores_of(cores) & os.sched_getaffinity(0)
    if not wanted or (num_threads or 0) > len(wanted):
        return False
    _given = given_cores()
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread), wanted)
    return True


def with_cores(
    boards: Sequence[Board], visible: Sequence[Board], given: Cores, siblings: Mapping[int, int]
) -> list[Board]:
    """Return the visible boards with the cores of their workers; without, where one board would have all of `given`.

    Args:
        boards: all of the machine, with the cores near them.
        visible: those that may be used, or slices of such.
        given: the cores that this process may use. Where these are not all of a node, somebody has shared them out
            already, and then among the visible boards alone.
        siblings: core -> the first hyperthread of the same core; a core that is missing stands alone.
    """
    shown = {board.board_id for board in visible} | {board.slice_of for board in visible}
    cores: dict[str, str] = {}
    for near in dict.fromkeys(board.near for board in boards if board.near):
        node = cores_of(near)
        there = [board for board in boards if board.near == near and (node <= given or board.board_id in shown)]
        for board, share in zip(there, shares(node & given, len(there), siblings), strict=True):
            cores[board.board_id] = list_of(share) if share < given else ""
            parts = shares(share, len(board.slices), siblings)
            cores |= {
                one.board_id: list_of(part) if part < given else ""
                for one, part in zip(board.slices, parts, strict=True)
            }

    def bound(board: Board) -> Board:
        return replace(board, cores=cores.get(board.board_id, ""), slices=tuple(map(bound, board.slices)))

    return [bound(board) for board in visible]


def shares(cores: Cores, num: int, siblings: Mapping[int, int]) -> list[Cores]:
    """Return `num` disjoint shares of one size, in the order of the cores; empty ones where there are too few."""
    whole: dict[int, set[int]] = {}
    for core in sorted(cores):
        whole.setdefault(siblings.get(core, core), set()).add(core)
    ordered = list(whole.values())
    size = len(ordered) // num if num else 0
    return [frozenset[int]().union(*ordered[i * size : (i + 1) * size]) for i in range(num)]


def siblings_of(cores: Iterable[int], root: Path = Path("/")) -> dict[int, int]:
    """Return core -> the first hyperthread of the same core, where the kernel tells.

    Args:
        cores: to ask about.
        root: the folder that holds `sys/`; another one in tests.
    """
    found: dict[int, int] = {}
    for core in cores:
        file = root / f"sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"
        with suppress(OSError, ValueError):
            found[core] = min(cores_of(file.read_text()))
    return found


def cores_of(text: str) -> Cores:
    """Read a list as the kernel writes it, 0-3,8.

    Raises:
        ValueError: it is none.
    """
    spans = [part.split("-") for part in text.strip().split(",") if part]
    return frozenset(core for span in spans for core in range(int(span[0]), int(span[-1]) + 1))


def list_of(cores: Iterable[int]) -> str:
    """Write cores as the kernel does, 0-3,8."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][-1] + 1:
            spans[-1][1:] = [core]
        else:
            spans.append([core])
    return ",".join("-".join(map(str, span)) for span in spans)
