"""Read Parquet files into frames."""
