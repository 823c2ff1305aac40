"""The endpoints of rules, alerts and channels."""
