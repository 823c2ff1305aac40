"""The only room that runs restic."""
