"""Where a row says it was measured."""

from __future__ import annotations

import dataclasses
import platform

import pytest

from ampbench.bench.machine import provenance as module
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import provenance

CPU = Board(board_id="cpu", name=None)


def test_a_host_is_named_and_is_no_part_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    here = provenance(CPU)
    assert here.host == platform.node()
    monkeypatch.setattr(module.platform, "node", lambda: "node7")
    there = provenance(CPU)
    assert there.host == "node7"
    assert dataclasses.replace(there, host=here.host) == here
