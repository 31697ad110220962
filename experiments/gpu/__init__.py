"""What `make gpu` does on a machine with a CUDA GPU."""
