"""Domains and their certificates: rows, issuers, expiry and monitoring."""
