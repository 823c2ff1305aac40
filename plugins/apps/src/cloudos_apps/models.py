"""Tables of the apps plugin."""

from __future__ import annotations

from cloudos_sdk import model_base

Base = model_base("apps")
