"""The template as the node uses it: services, settings and their substitution."""
