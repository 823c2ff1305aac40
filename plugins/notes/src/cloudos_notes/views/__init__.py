"""Notes as they are listed and drawn: pages of a list and the graph."""
