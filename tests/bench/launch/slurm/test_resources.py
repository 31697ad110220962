"""`--slurm key=value` says what sbatch would understand, and a wrong word costs one line."""

from __future__ import annotations

import pytest

from ampbench.bench.launch.slurm.resources import Resources, minutes, parse_resources
from ampbench.bench.plan.errors import RequestError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("30:00", 30),
        ("0:01", 1),
        ("1:30:00", 90),
        ("1:30:01", 91),
        ("2-0", 2880),
        ("1-2", 1560),
        ("1-2:30", 1590),
        ("1-2:30:30", 1591),
    ],
)
def test_a_time_is_read_as_sbatch_reads_it(text: str, expected: int) -> None:
    assert minutes(text) == expected


def test_each_key_fills_one_field() -> None:
    words = ["partition=gpu", "time=1:30:00", "account=me", "qos=low", "mem=16G", "cpus-per-task=4", "constraint=a100"]
    assert parse_resources([*words, "array_parallelism=8", "exclusive=false", "setup=module load a", "setup=b"]) == (
        Resources(
            partition="gpu",
            time_min=90,
            account="me",
            qos="low",
            mem="16G",
            cpus_per_task=4,
            constraint="a100",
            array_parallelism=8,
            exclusive=False,
            setup=("module load a", "b"),
        )
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["partitoin=gpu"], r"--slurm partitoin=gpu: no such key\. Did you mean 'partition'\?"),
        (["gpu"], r"--slurm gpu: write key=value, as in partition=gpu\. Keys: cluster, partition, time"),
        (["partition="], r"--slurm partition=: write key=value"),
        (["time=soon"], r"--slurm time=soon: write a time as 90 \(minutes\), 1:30:00 \(hours\) or 2-0"),
        (["time=0"], r"--slurm time=0: a job needs at least a minute"),
        (["time=1-"], r"--slurm time=1-: write a time"),
        (["time=１"], r"--slurm time=１: write a time"),
        (["mem=lots"], r"--slurm mem=lots: write a memory as 16G or 8000M"),
        (["cpus_per_task=0"], r"--slurm cpus_per_task=0: write a whole number from 1"),
        (["exclusive=perhaps"], r"--slurm exclusive=perhaps: write true or false"),
        (["cluster=slrum"], r"--slurm cluster=slrum: no such cluster\. Did you mean 'slurm'\?"),
        (["gres=gpu:2"], r"--slurm gres=gpu:2: jobs ask for as many GPUs as their cells, .*--gpus-per-cell; drop it"),
        (["nodes=2"], r"--slurm nodes=2: a job is a group of cells on one node.*; drop it"),
        (["qos=a", "qos=b"], r"--slurm qos=b: qos is given twice; drop one"),
        (["cluster=local", "partition=a"], r"--slurm partition=…: cluster=local starts jobs on this machine"),
    ],
)
def test_what_cannot_be_meant_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_resources(words)
