"""The Cloud OS host: it loads plugins, and knows none of them."""

import os

__version__ = "0.1.0"

# before the first model: pydantic reads every installed distribution for plugins of its own, 30 ms of a start
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
