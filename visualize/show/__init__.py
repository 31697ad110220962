"""What a person reads: the summary, its tables, the page."""
