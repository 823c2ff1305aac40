"""Backups: what is in one, how it is made, and how long it is kept."""
