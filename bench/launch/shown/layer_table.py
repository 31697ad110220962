"""The networks of a plan layer by layer, found by a process that may load torch; this one does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.path import for_children

MARK = "ampbench layers: "
"""Before each line of the process that is ours."""

SHAPING = ("model", "model_args", "image_size", "resize", "data")
"""Fields that change a network: cells that differ in others alone have the same one."""


def layer_tables(cells: Sequence[Cell]) -> Iterator[list[str]]:
    """Yield the lines of a table of layers, shapes and parameters for every network among the cells.

    Raises:
        RequestError: the process ended before its time.
    """
    kinds: dict[str, Cell] = {}
    for cell in cells:
        kinds.setdefault(repr([cell.setting(name) for name in SHAPING]), cell)
    command = [sys.executable, "-P", "-m", "ampbench.bench.worker.layer_table"]
    asked = json.dumps([cell.to_json() for cell in kinds.values()])
    done = subprocess.run(
        command, input=asked, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": for_children()}
    )
    # A network that prints has its say on the same stream: ours are the lines that begin with the mark.
    found = [json.loads(line.removeprefix(MARK)) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or len(found) < len(kinds):
        raise RequestError(
            f"--summary: {' '.join(command)} ended with exit code {done.returncode} after {len(found)} of {len(kinds)} "
            "networks; its last words are above"
        )
    yield from (_lines(cell, said) for cell, said in zip(kinds.values(), found, strict=True))


def _lines(cell: Cell, said: dict[str, Any]) -> list[str]:
    arguments = f" {cell.model_args}" if cell.model_args else ""
    head = f"{cell.model}{arguments} on images of {cell.input_size}x{cell.input_size}"
    if "because" in said:
        return [f"{head}: no summary: {said['because']}"]
    rows = [("layer", "type", "output", "parameters")]
    rows += [
        (
            layer["name"],
            layer["type"],
            layer["shape"],
            f"{layer['num_parameters']:,}" if layer["num_parameters"] else "",
        )
        for layer in said["layers"]
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    table = [
        f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {count:>{widths[3]}}".rstrip()
        for name, kind, shape, count in rows
    ]
    frozen = said["num_parameters"] - said["num_trainable"]
    total = f"{said['num_parameters']:,} parameters" + (f", {frozen:,} of them frozen" if frozen else "")
    return [head, *table, f"  {total}, {said['num_parameters'] * 4 / 2**20:,.1f} MiB in fp32"]
