"""What several figures share: a kind of plot a file."""
