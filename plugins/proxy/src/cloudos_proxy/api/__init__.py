"""The endpoints of routes, domains, sign-in, ports and applies."""
