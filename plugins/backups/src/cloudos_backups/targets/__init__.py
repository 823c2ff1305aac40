"""Where backups go: repositories of restic, their secrets and their health."""
