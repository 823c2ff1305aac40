"""An apply: planned, checked, loaded into Caddy, recorded, and rolled back if it fails."""
