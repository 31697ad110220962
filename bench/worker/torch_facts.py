"""What torch finds here, as a line of JSON, for a process without it: python -m ampbench.bench.worker.torch_facts."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

MARK = "ampbench torch: "
"""Before the line: a library may print too."""


def facts() -> dict[str, Any]:
    """Return version, the CUDA it was built for, and the GPUs that it can use, or why it can use none."""
    found: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": [], "because": None}
    if torch.version.cuda is None:
        return found
    try:
        torch.cuda.init()
        found["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if found["gpus"]:
            torch.ones(1, device="cuda").item()
    except (RuntimeError, AssertionError) as e:
        found["because"] = " ".join(str(e).split())[:300]
    return found


if __name__ == "__main__":
    sys.stdout.write(f"{MARK}{json.dumps(facts())}\n")
