"""python -m ampbench.bench.machine.board_state GPU-5f2a… 4711: the process that samples a board."""

import sys

from ampbench.bench.machine.board_state.sampling import main

main(sys.argv[1:])
