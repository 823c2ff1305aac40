"""Keys of AI clients: making, hashing, cache, scopes and rate limits."""
