"""The loss of a training: which one it is, how it is called, and how it sums over a test set."""
