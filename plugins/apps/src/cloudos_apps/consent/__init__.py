"""Consent: the rights that a template requests beyond its containers, and who may allow them."""
