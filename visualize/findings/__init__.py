"""What rows say besides: of numbers, work, learning, failures. A sentence each."""
