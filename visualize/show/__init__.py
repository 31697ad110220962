"""What a person reads: tables, the page, its look."""
