"""What apps do: the engine's events, reconciliation, logs, statistics and metrics."""
