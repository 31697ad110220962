"""The runs that a verdict rests on: paired, combined, without a partner, far from their siblings."""
