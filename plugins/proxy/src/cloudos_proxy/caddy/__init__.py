"""Caddy: its process, sockets, admin API and reloads. Nothing else speaks to it."""
