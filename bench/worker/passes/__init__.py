"""The untimed passes after the last timed step, one question a file."""
