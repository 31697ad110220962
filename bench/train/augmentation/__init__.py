"""Augmentations of a whole batch on the device, one kind a file."""
