"""Routes as they are written down: rows, options, names and resolved upstreams."""
