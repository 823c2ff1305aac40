"""Hybrid search over notes: full text and vectors, ranked together."""
