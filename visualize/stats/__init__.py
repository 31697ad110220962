"""Arithmetic on samples: intervals, tests, sample sizes."""
