"""The endpoints of keys, sync and search."""
