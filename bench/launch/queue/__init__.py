"""Which group begins on which boards, and when."""
