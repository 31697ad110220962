"""Models as people write them, and the status in which a cell of each must end. Add yours to the file of its kind."""
