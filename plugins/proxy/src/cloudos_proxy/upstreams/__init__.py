"""Addresses of upstreams: syntax, policy and name lookup."""
