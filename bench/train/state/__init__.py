"""Everything that the next step depends on: written to a checkpoint, taken back, or rolled back to."""
