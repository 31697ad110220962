"""What spoils a number or a comparison, one concern each."""
