"""Rules: conditions, durations, state in memory, and the catalog of metrics."""
