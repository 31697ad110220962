"""This machine and its boards: which there are, who holds them, what they draw. No torch."""
