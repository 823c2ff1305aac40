"""Ports 80 and 443: who holds them, takeover and standing behind another server."""
