"""Templates of apps, and the sources that they come from."""
