"""Certificates as files and errors: X.509, ACME errors, Caddy's log and DNS checks."""
