"""This machine and its boards: which it has, who holds them, what they draw, their state while a cell is timed.

`nvml` is the only file that opens NVML. Nothing here imports torch.
"""
