"""What the harness itself costs (measurement.md's P1 to P9): `make overhead`, on a machine left alone."""
