"""Templates: what can be installed, and where the descriptions come from."""
