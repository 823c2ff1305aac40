"""The endpoints of backups, and what they take and give."""
