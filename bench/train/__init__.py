"""One training: images on the device, a precision, a step, a schedule, an evaluation."""
