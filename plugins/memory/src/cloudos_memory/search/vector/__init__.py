"""The vector index in memory and the rows that it mirrors."""
