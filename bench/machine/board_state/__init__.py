"""The state of a GPU while it is measured, by NVML: clocks, power, temperature, what held its clocks down.

`questions` names the functions of NVML, `reader` calls them, `line` encodes a sample, and `sampling` is the process in
which all that happens. It is a separate process, so that neither the GIL nor a wait for the driver adds to the time of
the training.
"""
