"""Delivery of webhooks: queues by endpoint, attempts, retries and results."""
