"""Sync of namespaces with other nodes."""
