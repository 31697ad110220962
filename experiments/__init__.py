"""Experiment files, and what `make gpu` does with some of them."""
