"""Arrow schemas, atomic Parquet files and the vote."""
