"""What a GPU was doing while it was measured, as NVML tells it: clocks, power, temperature, what held it back.

`questions` names the functions of NVML, `reader` asks them, `line` writes a sample down, and `sampling` is the process
in which all that happens: it is one of its own, so that neither the GIL nor a wait for the driver is billed to the
training.
"""
