"""Who else hears of finished runs: reads Parquet, after the last measurement, and can fail without harm."""
