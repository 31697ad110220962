"""Marks of tests that call on purpose what torch advises against: users' networks go on to call it."""

from __future__ import annotations

import pytest

weight_norm = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
script = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
sparse_rows = pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta:UserWarning")
