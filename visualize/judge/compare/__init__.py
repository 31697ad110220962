"""Two sides of results, cell by cell: `python -m ampbench compare A B`."""
