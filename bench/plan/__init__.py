"""What to run: an experiment file becomes cells in an order. Nothing here imports torch."""
