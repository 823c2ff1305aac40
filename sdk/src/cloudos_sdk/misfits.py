"""Validation errors as the API shows them: a dotted path and a message without names of our code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PLAIN = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "string_pattern_mismatch": "is not in the form that this takes; /api/docs shows it",
    "model_type": "must be a JSON object, as {}",
    "model_attributes_type": "must be a JSON object, as {}",
    "dict_type": "must be a JSON object, as {}",
    "list_type": "must be a JSON array, as []",
    "tuple_type": "must be a JSON array, as []",
}
_SUBJECT = re.compile(r"^(?:Input|String|Value|List|Tuple|Set|Dictionary|Number|Data|URL|Datetime) should ")
_BRANCH = re.compile(r"[\[\]()]|^(?:str|int|float|bool|none|datetime|date|bytes|nullable)$")


def place_of(item: Mapping[str, Any]) -> str:
    """Return the path of a pydantic error, e.g. `config.ports.0`; empty for the whole value."""
    first, *others = item["loc"] or ("",)  # in others, pydantic names the branch of a union too
    return ".".join([str(first), *(str(part) for part in others if not _BRANCH.search(str(part)))])


def sentence_of(item: Mapping[str, Any]) -> str:
    """Return the message of a pydantic error."""
    plain = _PLAIN.get(item["type"])
    if plain is not None:
        return plain
    if item["type"] in ("value_error", "assertion_error"):
        return str(item["msg"]).partition(", ")[2]
    return _SUBJECT.sub("must ", str(item["msg"]))
