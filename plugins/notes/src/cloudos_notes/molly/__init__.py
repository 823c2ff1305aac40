"""Molly's memory: facts kept as notes."""
