"""When two accuracies are equivalent, and how much an accuracy varies between seeds. In percentage points."""

MARGIN_POINTS = 0.3
"""Two accuracies whose difference is below this are equivalent."""

LEAST_TEST_IMAGES = 360
"""Size of a test set whose size is not known: that of digits, the smallest here. One image is worth 0.28 points, so it
shows no equivalence, and only large losses."""

RUN_SD_POINTS = 0.2
"""Usual standard deviation of a training's accuracy over its seeds, where nothing better is known."""
