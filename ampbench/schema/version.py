"""The two versions of what is in a file of results."""

METHOD_VERSION = 4
"""Raised whenever a number is taken in another way: rows of different methods are not compared in silence."""

COLUMNS_VERSION = 2
"""Raised whenever a column is renamed: a file of another one is refused, with the way to convert it."""
