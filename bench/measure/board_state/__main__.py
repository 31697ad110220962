"""python -m bench.measure.board_state GPU-5f2a… 4711: the process that samples a board."""

import sys

from ampbench.bench.measure.board_state import main

main(sys.argv[1:])
