"""Further findings, one sentence each: about numerics, work, learning and failures."""
