"""The versions of the numbers and of the column names in a file of results."""

METHOD_VERSION = 4
"""Increased whenever a number is measured in another way: rows of different methods are not compared silently."""

COLUMNS_VERSION = 2
"""Increased whenever a column is renamed: a file of another version is refused, with the command that converts it."""
