"""Networks whose step is one kind of work, measured through the whole line, are explained as what they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ampbench.visualize.findings import whys
from ampbench.visualize.read.frame import read

FILE = """
question = "What does a step consist of?"
[matrix]
precision = ["fp32", "bf16_amp"]
[fixed]
model = "tests.support.kinds:{model}"
data = "digits"
image_size = 32
num_threads = 1
{fields}
[measure]
max_timing_s = 0.5
max_warmup_s = 0.2
"""


@pytest.mark.whole
@pytest.mark.parametrize(
    ("model", "fields", "label"),
    [
        ("Convolutions", "batch_size = 64\naugment = []", "matrix products and convolutions"),
        ("Elementwise", "batch_size = 256\naugment = []", "element-wise"),
        (
            "HundredMillionWeights",
            'batch_size = 4\naugment = []\noptimizer = "adam"\noptimizer_impl = "foreach"',
            "optimizer and scaler",
        ),
        ("Quick", 'batch_size = 256\nloader = "dataloader"\nnum_workers = 0\naugment = ["jitter"]', "data"),
    ],
)
def test_a_network_of_one_kind_of_work_is_explained_as_what_it_is(
    model: str, fields: str, label: str, tmp_path: Path
) -> None:
    file = tmp_path / "kinds.toml"
    file.write_text(FILE.format(model=model, fields=fields))
    command = [sys.executable, "-m", "ampbench", "run", str(file), "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    found, *_ = whys.explain(read(tmp_path / "kinds"), "fp32", "bf16_amp")
    assert found.waterfall is not None
    assert max(found.waterfall.bars, key=lambda bar: bar.a).label == label
    if label != "matrix products and convolutions":
        assert label in found.sentence
