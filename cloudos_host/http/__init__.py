"""The HTTP application: gate, errors, mounts, server-sent events, OpenAPI and the host's own endpoints."""
