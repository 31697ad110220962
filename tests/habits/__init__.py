"""Models in the ways that people write them, and what a cell of each has to end as. Add yours to a file of its kind."""
