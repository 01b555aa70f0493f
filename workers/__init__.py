"""Who consumes: one file, one process."""
