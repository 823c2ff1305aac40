"""An apply: planned, checked, loaded into Caddy, recorded, and put back where it fails."""
