"""Instruments, one question a file. They do not know of one another; the worker composes them."""
