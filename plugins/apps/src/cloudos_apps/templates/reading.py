"""The text of a source, whatever its format, as templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import orjson
import yaml

from cloudos_apps.templates import compose, portainer
from cloudos_apps.templates.foreign import Converted, Unfit, slug

Format = Literal["portainer", "casaos", "cloudos"]
LONGEST = 5_000_000
_MOST_YAML, _MOST_ALIASES = 1_000_000, 20


def read(text: str, source: str) -> tuple[Format, Converted]:
    """Return what a text is and the templates in it, `source` before each name. Raises Unfit where it is none of them.

    JSON with `templates` is Portainer's. YAML may have several documents: `services` is a mapping in a compose file
    and a list in a template of ours. Takes a second for the largest texts: call it in a thread.
    """
    if len(text) > LONGEST:
        raise Unfit(f"the text is longer than {LONGEST} characters")
    if text.lstrip()[:1] in ("{", "["):
        return "portainer", _portainer(text, source)
    found, kinds = Converted(), set()
    for number, document in enumerate(_documents(text)):
        if not isinstance(document, Mapping) or "services" not in document:
            raise Unfit("it is neither a catalogue of Portainer (JSON), nor a compose file, nor a template (YAML)")
        title = str(document.get("display_name") or document.get("name") or f"document {number + 1}")[:200]
        ours = isinstance(document["services"], list)
        kinds.add(ours)
        convert = _own if ours else compose.template
        found.add(title, lambda convert=convert, document=document: convert(document, source))  # type: ignore[misc] # bound now
    if not kinds:
        raise Unfit("the text is empty")
    return ("cloudos" if kinds == {True} else "casaos"), found


def _portainer(text: str, source: str) -> Converted:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Unfit(f"it is not JSON: {error}") from None
    if not isinstance(document, dict) or "templates" not in document:
        raise Unfit("it is JSON without `templates`; Portainer's format, version 2 or 3, has them")
    return portainer.read(document, source)


def _own(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    return {**document, "name": f"{source}.{slug(document.get('name'))}"}


def _documents(text: str) -> list[Any]:
    if len(text) > _MOST_YAML:
        raise Unfit(f"YAML may have {_MOST_YAML} characters at most")
    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.CSafeLoader))
        if aliases > _MOST_ALIASES:
            raise Unfit(f"it has {aliases} aliases; {_MOST_ALIASES} are the most")
        return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise error if isinstance(error, Unfit) else Unfit(f"it is not YAML: {str(error)[:300]}") from None
