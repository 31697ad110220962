"""Runs ONE cell in a process of its own: cell in, record out. The only room that knows both train/ and measure/."""
