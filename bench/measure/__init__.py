"""Instruments, each in its own file for one question. They do not import one another; the worker composes them."""
