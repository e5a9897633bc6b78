"""Files: atomic publication, stage directories, and the parquet contracts between stages."""
