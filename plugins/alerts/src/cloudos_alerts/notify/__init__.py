"""Notifications: channels, the outbox and the processes that send."""
