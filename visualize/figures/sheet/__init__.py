"""The sheet that panels are drawn on: their places, the legend and the foot."""
