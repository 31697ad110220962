"""This machine: workers forked one after another on each of its boards."""
