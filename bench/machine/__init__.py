"""This machine and its boards: which there are, who holds them, what they draw, what they did while a cell was timed.

`nvml` is the only file that opens NVML. Nothing here imports torch.
"""
