"""From numbers to a verdict and a recommendation."""
