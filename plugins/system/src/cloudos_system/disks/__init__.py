"""Physical disks and their SMART health."""
