"""The command line: each command, and the server that `cloudos serve` runs."""
