"""Restores: apps in place or beside, single files, and what a restore would change."""
