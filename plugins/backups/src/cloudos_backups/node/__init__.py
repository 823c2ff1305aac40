"""The node itself in a backup: its database, its key, and a whole node put back."""
