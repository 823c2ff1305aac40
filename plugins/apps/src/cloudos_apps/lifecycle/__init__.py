"""Installation, update, start, stop and removal of apps."""
