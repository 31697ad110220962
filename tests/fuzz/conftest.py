"""How many inputs are drawn, from which seed: a sample in `make test`, always the same; thousands in `make fuzz`.

AMPBENCH_FUZZ=1 asks for thousands, AMPBENCH_FUZZ_SEED=N draws those of an earlier run again.
"""

from __future__ import annotations

import os
import random

from hypothesis import HealthCheck, settings

WHOLE = os.environ.get("AMPBENCH_FUZZ", "0") != "0"
SEED = int(os.environ.get("AMPBENCH_FUZZ_SEED") or (random.SystemRandom().randrange(2**32) if WHOLE else 0))


def drawn(many: int, sample: int) -> settings:
    """Settings of a test that draws `many` inputs in `make fuzz`, and a `sample` of them in `make test`."""
    return settings(
        max_examples=many if WHOLE else sample,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def pytest_report_header() -> str:
    return f"fuzz: {'thousands of inputs' if WHOLE else 'a sample'}; again with AMPBENCH_FUZZ_SEED={SEED} make fuzz"
