"""Ports 80 and 443: owners, takeover, and coexistence with another web server."""
