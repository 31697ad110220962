"""What sinfo prints of a partition, from clusters of several kinds."""

from __future__ import annotations

import pytest

from ampbench.bench.launch.slurm.partitions import Partition, last_words, partition_of


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [["p*", "(null)", "64", "infinite", "0/1"]],
            Partition(name="p", most_gpus=0, fewest_cores=64, limit_min=None, most_cores=64),
        ),
        (
            [["p", "gpu:4", "32", "2-00:00:00", "0/1"]],
            Partition(name="p", most_gpus=4, fewest_cores=32, limit_min=2880, most_cores=32),
        ),
        (
            [["p", "gpu:a100:8(S:0-1),nvme:1", "128+", "1:00:00", "1/1"], ["p", "gpu:v100:4", "16", "1:00:00", "0/1"]],
            Partition(name="p", most_gpus=8, fewest_cores=128, limit_min=60, num_nodes=3),
        ),
        (
            [["p", "gpu:a100:2,gpu:h100.80gb:2", "8", "30:00", "0/1"]],
            Partition(name="p", most_gpus=4, fewest_cores=8, limit_min=30, most_cores=8),
        ),
        (
            [["p", "gpu:2", "8", "1:00:00", "0/1"], ["q*", "(null)", "16", "infinite", "0/2"]],
            Partition(name="p", most_gpus=2, fewest_cores=8, limit_min=None, most_cores=16, num_nodes=3),
        ),
        (
            [["p", "gpumem:80G,lic:3", "8", "30:00", "0/1"]],
            Partition(name="p", most_gpus=0, fewest_cores=8, limit_min=30, most_cores=8),
        ),
    ],
)
def test_a_partition_has_the_gpus_of_its_largest_node_and_the_cores_beside_them(
    rows: list[list[str]], expected: Partition
) -> None:
    assert partition_of("p", rows) == expected


def test_a_complaint_of_slurms_is_said_once_and_without_its_program() -> None:
    said = (
        "sbatch: error: invalid account\nsbatch: error: invalid account\nsbatch: error: Batch job submission failed\n"
    )
    assert last_words(said) == "invalid account; Batch job submission failed"
