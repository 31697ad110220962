"""Everything that measures: an experiment file goes in, Parquet comes out. Nothing here draws."""
