"""The one import name of everything in this repository; its commands are `python -m ampbench COMMAND`."""
