"""Readers of template formats: our own, Compose and Portainer."""
