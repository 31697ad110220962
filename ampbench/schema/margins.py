"""When two accuracies are equivalent, and how much an accuracy varies between seeds. In percentage points."""

MARGIN_POINTS = 0.3
"""Two accuracies whose difference is below this are equivalent."""

RUN_SD_POINTS = 0.2
"""Usual standard deviation of a training's accuracy over its seeds, where nothing better is known."""
