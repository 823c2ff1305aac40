"""Tables of the apps plugin."""

from __future__ import annotations

from typing import Any

from cloudos_sdk import model_base

Base: Any = model_base("apps")
