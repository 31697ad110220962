"""Records become Parquet, atomically, in columns that carry their unit and meaning. No torch."""
