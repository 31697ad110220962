"""The decision: which recipe and batch size to train in, by what the reader wants."""
