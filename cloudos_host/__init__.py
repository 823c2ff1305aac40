"""The Cloud OS host: it loads plugins, and knows none of them."""

__version__ = "0.1.0"
