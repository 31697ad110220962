"""Who else hears of a finished matrix: reads Parquet, after the last measurement, and can fail without harm."""
