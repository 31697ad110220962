"""Runs ONE cell in its own process: cell in, record out. The only room that imports both train/ and measure/."""
