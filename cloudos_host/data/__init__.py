"""Stored data: database, schema upgrades, event outbox, operations, keys and files."""
