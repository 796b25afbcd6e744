"""Where events go: the Parquet event log and line-by-line JSON."""
