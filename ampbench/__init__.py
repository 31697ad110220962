"""The one name of all that this repository does: `python -m ampbench COMMAND`."""
