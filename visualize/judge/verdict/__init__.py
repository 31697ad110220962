"""The verdict on each recipe against the reference, rung by rung of the ladder of evidence."""
