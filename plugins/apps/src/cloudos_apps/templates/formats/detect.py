"""The text of a source, whatever its format, as templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from cloudos_apps.templates.formats import compose, portainer
from cloudos_apps.templates.formats.common import ConvertedTemplates, UnsupportedTemplate, slug, title_of
from cloudos_apps.templates.formats.document import from_json, from_yaml, plain, storable

Format = Literal["portainer", "casaos", "cloudos"]
LONGEST = 5_000_000


def read(text: str, source: str) -> tuple[Format, ConvertedTemplates]:
    """Return a text's format and templates, named `source.name`. Raises UnsupportedTemplate for an unknown format.

    JSON with `templates` is Portainer's. YAML may have several documents: `services` is a mapping in a compose file
    and a list in a template of ours. Takes a second for the largest texts: call it in a thread.
    """
    if len(text) > LONGEST:
        raise UnsupportedTemplate(f"the text is longer than {LONGEST} characters")
    storable(text)
    try:
        return _read(text.removeprefix("\ufeff"), source)
    except UnsupportedTemplate:
        raise
    except Exception as error:
        raise UnsupportedTemplate(f"it cannot be read ({type(error).__name__})") from error


def _read(text: str, source: str) -> tuple[Format, ConvertedTemplates]:
    documents: Iterable[Any] = ()
    if text.lstrip()[:1] in ("{", "["):
        document = from_json(text)
        if not isinstance(document, dict) or "services" not in document or "templates" in document:
            return "portainer", _portainer(document, source)
        documents = [document]
    found, kinds = ConvertedTemplates(), set()
    for number, document in enumerate(documents or from_yaml(text)):
        if isinstance(document, UnsupportedTemplate):
            found.leave_out(f"document {number + 1}", str(document))
            continue
        if not isinstance(document, Mapping) or "services" not in document:
            found.leave_out(f"document {number + 1}", "it is neither a compose file nor a template")
            continue
        title = title_of(document, "display_name", "name") or f"document {number + 1}"
        ours = isinstance(document["services"], list)
        kinds.add(ours)
        convert = _own if ours else compose.template
        found.add(title, lambda convert=convert, document=document: convert(plain(document), source))  # type: ignore[misc] # bound now
    if not kinds and found.skipped and found.skipped[0][1] != "it is neither a compose file nor a template":
        raise UnsupportedTemplate(found.skipped[0][1])
    if not kinds:
        raise UnsupportedTemplate(
            "it is neither a catalogue of Portainer (JSON), nor a compose file, nor a template (YAML)"
        )
    return ("cloudos" if kinds == {True} else "casaos"), found


def _portainer(document: Any, source: str) -> ConvertedTemplates:
    if not isinstance(document, dict) or "templates" not in document:
        raise UnsupportedTemplate(
            "it is JSON without `services`, and without `templates` as in Portainer's format, version 2 or 3"
        )
    return portainer.read(document, source)


def _own(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    return {**document, "name": f"{source}.{slug(document.get('name'))}"}
