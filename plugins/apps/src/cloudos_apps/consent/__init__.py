"""What a template asks for beyond its container, and who may allow it."""
