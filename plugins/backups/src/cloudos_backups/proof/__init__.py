"""The proof of a backup: an app restored, started, looked at and removed."""
