"""What launchers of several machines share: a node and its work."""
