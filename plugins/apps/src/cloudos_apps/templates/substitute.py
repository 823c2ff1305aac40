"""Variables in a template's texts: `${config.NAME}`, `${secret.NAME}`, `${app.name}`, `${port.NAME}`.

`$${` stands for a plain `${`; any other `$` is itself. A text that is one reference and nothing else has no value
where the referred field has none, so that an optional setting leaves its environment variable unset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOKEN = re.compile(r"\$\$\{|\$\{([^}]*)(?:\}|$)")
_WHOLE = re.compile(r"\$\{([^}]*)\}")


def references(text: str) -> list[str]:
    """Return the variables that a text refers to, e.g. `["config.title", "app.name"]`."""
    return [
        match[1] if match[0].endswith("}") else f"{match[1]} (unclosed)"
        for match in _TOKEN.finditer(text)
        if match[1] is not None
    ]


def escape(text: str) -> str:
    """Return a text that stands for `text` as it is."""
    return text.replace("${", "$${")


def secret_in(text: str) -> str | None:
    """Return the name of the secret that a text is, e.g. `password` of `${secret.password}`; None for other texts."""
    whole = _WHOLE.fullmatch(text)
    kind, _, name = whole[1].partition(".") if whole is not None else ("", "", "")
    return name if kind == "secret" else None


def substitute(text: str, values: Mapping[str, str | None]) -> str | None:
    """Return `text` with its variables replaced; None where it is a single variable that has no value."""
    whole = _WHOLE.fullmatch(text)
    if whole is not None:
        return values[whole[1]]
    return _TOKEN.sub(lambda match: "${" if match[1] is None else values[match[1]] or "", text)
