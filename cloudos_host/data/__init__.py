"""What the node keeps: database, schema upgrades, event outbox, operations, keys and files."""
