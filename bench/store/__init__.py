"""Records are written to Parquet, atomically, in columns that carry their unit and meaning. No torch."""
