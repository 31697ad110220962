"""Whether a cell runs slower beside busy neighbours: the same cell in turns, alone and beside them."""
