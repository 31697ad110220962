"""What the harness itself costs: `make overhead`, on a machine left alone."""
