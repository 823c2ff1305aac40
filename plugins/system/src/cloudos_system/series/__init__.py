"""Series over time: sampling, tiers, retention, history and the stream."""
