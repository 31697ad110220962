"""The hardware in words: a line for a person, a report of a few lines, and plain data for a program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ampbench.bench.machine.gpus import NEEDED, Gpu
from ampbench.bench.machine.hardware import Hardware
from ampbench.bench.plan.words import counted, gib

TIERS = {
    "large": "3 GPUs or more with 60 GB in all",
    "middle": "2 GPUs or more, or 40 GB",
    "small": "fewer than 2 GPUs, and less than 40 GB",
}
"""Tier -> study S4's rule for it."""

NO_INSTRUCTIONS = "the CPU has no instructions for it, and emulates it in fp32"


def one_line(hardware: Hardware) -> str:
    """Return the hardware that a training would use: `AMD EPYC, 2 cores, 24 GiB; bf16 (avx512_bf16), no fp16, no tf32`.

    With GPUs: `2x NVIDIA H200, 279 GiB, compute capability 9.0; fp16, bf16, tf32, fp8`.
    """
    if not hardware.gpus:
        cpu = hardware.cpu
        memory = hardware.limits.memory_bytes or hardware.memory_bytes
        size = f"{cpu.name}, {counted(hardware.usable_cores, 'core')}, {_size(memory)}"
        return f"{size}; {cpu.words_for('bf16')}, {cpu.words_for('fp16')}, no tf32"
    first, num = hardware.gpus[0], len(hardware.gpus)
    known = [gpu.memory_bytes for gpu in hardware.gpus if gpu.memory_bytes]
    memory_of_all = f", {_size(sum(known))}" + (" in all" if num > 1 else "") if known else ""
    return f"{f'{num}x ' if num > 1 else ''}{first.name}{memory_of_all}; {_abilities(first)}"


def report(hardware: Hardware) -> Iterator[str]:
    """Yield the lines of a report."""
    yield one_line(hardware)
    yield from _gpu_lines(hardware)
    yield from _cpu_lines(hardware)
    yield from _memory_lines(hardware)
    for disk in hardware.disks:
        yield f"  disk     {disk.use}: {_size(disk.free_bytes)} free of {_size(disk.total_bytes)}, {disk.path}"
    for line in hardware.unmeant:
        yield f"  note     {line}"
    yield f"  tier     {hardware.tier}: {TIERS[hardware.tier]} (study S4)"


def as_json(hardware: Hardware) -> dict[str, Any]:
    """Return the hardware as plain data, with what follows from it."""
    plain = asdict(hardware)
    for disk in plain["disks"]:
        disk["path"] = str(disk["path"])
    for gpu, row in zip(hardware.gpus, plain["gpus"], strict=True):
        row["abilities"] = list(gpu.abilities)
    derived = {
        "usable_cores": hardware.usable_cores,
        "usable_memory_bytes": hardware.usable_memory_bytes,
        "tier": hardware.tier,
        "fast_16_bit": [dtype for dtype in ("bf16", "fp16") if hardware.cpu.is_fast_in(dtype)],
    }
    return {"summary": one_line(hardware), **derived, **plain}


def _gpu_lines(hardware: Hardware) -> Iterator[str]:
    if hardware.no_gpu_because:
        yield f"  GPU      none is used: {hardware.no_gpu_because}"
    for gpu in hardware.gpus:
        node = "" if gpu.numa_node is None else f", NUMA node {gpu.numa_node}"
        yield f"  GPU      {gpu}, {_size(gpu.memory_bytes)}{node}, {_abilities(gpu)}"
    if len(hardware.gpus) > 1:
        yield f"           a training on several of them is led by {hardware.gpus[0]}"
    for gpu in hardware.gpus[:1]:
        if gpu.driver:
            yield f"  driver   {gpu.driver}" + (f", up to CUDA {gpu.cuda}" if gpu.cuda else "")
    for one in hardware.ignored:
        yield f"  ignored  {one.gpu}, {_size(one.gpu.memory_bytes)}: {one.because}"


def _cpu_lines(hardware: Hardware) -> Iterator[str]:
    cores = counted(hardware.num_cores, "core")
    if hardware.num_cores < hardware.num_cores_of_machine:
        cores += f" of {hardware.num_cores_of_machine}"
    nodes = hardware.numa_cores
    numa = f", {len(nodes)} NUMA nodes of {' and '.join(map(str, nodes))} cores" if len(nodes) > 1 else ""
    yield f"  CPU      {hardware.cpu.name}, {cores}{numa}"
    limit = hardware.limits.num_cores
    if limit is not None and limit < hardware.num_cores:
        yield (
            f"           limited to {limit:g} of them by its control group: set num_threads = {hardware.usable_cores}, "
            "for torch starts a thread for every core it sees"
        )
    for dtype in ("bf16", "fp16"):
        own = hardware.cpu.of(dtype)
        yield f"           {hardware.cpu.words_for(dtype)}" + f": {own[0].because if own else NO_INSTRUCTIONS}"
    yield "           no tf32 and no fp8: both are types of NVIDIA's tensor cores"


def _memory_lines(hardware: Hardware) -> Iterator[str]:
    yield f"  memory   {_size(hardware.memory_bytes)}, {_size(hardware.memory_free_bytes)} of it available"
    limits = hardware.limits
    if limits.memory_bytes is not None and limits.memory_bytes < hardware.memory_bytes:
        yield (
            f"           limited to {_size(limits.memory_bytes)} by its control group, "
            f"{_size(limits.memory_left_bytes)} of that left; a process that takes more is killed"
        )


def _abilities(gpu: Gpu) -> str:
    if gpu.capability is None:
        return "compute capability unknown"
    major, minor = gpu.capability
    words = [name if name in gpu.abilities else f"no {name}" for name in NEEDED]
    return f"compute capability {major}.{minor}: {', '.join(words)}"


def _size(num_bytes: int | None) -> str:
    return "memory unknown" if num_bytes is None else gib(num_bytes)
