"""The names of the built-in recipes, in the order of every table, legend and help text."""

RECIPE_NAMES = (
    "fp32",
    "tf32",
    "fp16",
    "bf16",
    "fp16_scaled",
    "fp16_amp",
    "fp16_amp_scaled",
    "bf16_amp",
    "bf16_amp_scaled",
    "fp8",
)
