"""Whether this machine is ready to run cells: questions of milliseconds, asked before the first cell and by `check`."""
