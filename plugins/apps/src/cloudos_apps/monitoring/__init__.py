"""Monitoring of apps: engine events, reconciliation, logs, statistics and metrics."""
