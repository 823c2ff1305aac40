"""The Docker Engine: client, container settings, pulls, streams and errors. Nothing else speaks to it."""
