"""Timed steps, and which of them are samples of the speed."""
