"""The endpoints of apps, templates and template sources."""
