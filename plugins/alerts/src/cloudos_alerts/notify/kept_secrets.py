"""Hidden values of a channel's configuration that are given back as shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudos_alerts.channel_types import HIDDEN, ChannelConfig


class SecretMoved(ValueError):
    """A hidden value was given back with another target; `path` names the field."""

    def __init__(self, path: str) -> None:
        super().__init__("give it again: it would go to another place")
        self.path = path


def kept(given: Mapping[str, Any], before: ChannelConfig) -> dict[str, Any]:
    """Return a configuration with its hidden values restored from `before`.

    Raises Moved where that would go to another place: who may change a channel need not know its secrets.
    """
    shown, stored = before.shown(), before.model_dump(by_alias=True, exclude_none=True)
    merged, back = dict(given), []
    for name, value in given.items():
        if name not in stored:
            continue
        if isinstance(value, dict) and isinstance(stored[name], dict):
            same = [key for key, text in value.items() if text == HIDDEN and key in stored[name]]
            merged[name] = value | {key: stored[name][key] for key in same}
            back += [f"{name}.{key}" for key in same]
        elif value == shown[name]:
            merged[name] = stored[name]
            if name in before.hidden:
                back.append(name)
    fields = type(before).model_fields
    moved = any(merged.get(name, fields[name].default) != getattr(before, name) for name in before.place)
    if moved and back:
        raise SecretMoved(back[0])
    return merged
