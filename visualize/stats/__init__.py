"""Arithmetic of samples: intervals, tests, sample sizes."""
