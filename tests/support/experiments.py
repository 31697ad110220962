"""Texts of experiment files that several tests begin with."""

from __future__ import annotations

HEAD = 'question = "Q?"\n'
FIXED = '[fixed]\nmodel = "LeNet"\ndata = "digits"\nbatch_size = 32\n'
GOOD = HEAD + FIXED + 'precision = "fp32"\n'
"""A whole experiment of one cell; what is added belongs to `[fixed]`."""

QUICK = HEAD + ('[fixed]\nmodel = "LeNet"\ndata = "synthetic"\nbatch_size = 256\nprecision = "fp32"\nnum_threads = 1\n')
"""Likewise, without images to decode."""
