"""The machine's readings: processor, memory, network and file systems."""
