"""Validates a part of a request against a model that another part chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from cloudos_sdk import InvalidRequest
from cloudos_sdk.misfits import place_of, sentence_of
from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


def checked(model: type[M], given: Mapping[str, Any], *, below: str = "") -> M:
    """Return `given` as a model; raise InvalidRequest that names each member at fault, `below` a path."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        fields = [
            {"path": ".".join(filter(None, (below, place_of(item)))), "message": sentence_of(item)} for item in found
        ]
    raise InvalidRequest("; ".join(f"{f['path']}: {f['message']}" for f in fields[:3]), fields=fields)
