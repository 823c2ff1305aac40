"""Caddy's JSON document, made from values."""
