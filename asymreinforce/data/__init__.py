"""Files: atomic publication, stage directories, and the contracts between stages."""
