"""Parquet to frames."""
