"""The fork server of the workers has imported what every training needs, and nothing that only few need."""

from __future__ import annotations

import subprocess
import sys

from ampbench.path import ROOT


def test_what_every_optimizer_imports_is_loaded_once_for_all_cells() -> None:
    code = "import ampbench.bench.worker.entry, sys; print(*(name in sys.modules for name in sys.argv[1:]))"
    names = ("torch._dynamo", "torch.distributed.elastic.agent", "ampbench.bench.worker.prediction")
    done = subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]
