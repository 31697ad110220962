"""When two accuracies are as good as equal, and how far they spread by themselves. In points of per cent."""

MARGIN_POINTS = 0.3
"""Accuracies that are this close are equivalent."""

RUN_SD_POINTS = 0.2
"""Usual standard deviation of a training's accuracy over its seeds, where nothing better is known."""
