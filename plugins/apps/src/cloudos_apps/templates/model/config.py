"""The settings of a template."""

from __future__ import annotations

import difflib
import secrets
import string
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cloudos_sdk import InvalidRequest
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError, model_validator
from pydantic_core import SchemaError

from cloudos_apps.templates.model.services import Part

if TYPE_CHECKING:
    from cloudos_apps.templates.model.template import Template

Value = str | int | bool
_LONGEST = 8192
_MOST_COMPLAINTS = 20  # looking for what was meant takes a while for each
_ALPHABET = string.ascii_letters + string.digits
_TEXTS = ("string", "password", "choice")


class ConfigField(Part):
    """One setting. `pattern` (linear-time, the whole text must match) and lengths are for texts, the rest for numbers.

    `secret` values are kept encrypted and never shown; `generate` makes one of letters and digits where none is given.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,126}$")]
    label: str = ""
    type: Literal["string", "integer", "boolean", "password", "choice", "port"] = "string"
    required: bool = False
    default: Value | None = None
    min: int | None = None
    max: int | None = None
    min_length: int | None = Field(default=None, ge=0, le=_LONGEST)
    max_length: int | None = Field(default=None, ge=1, le=_LONGEST)
    pattern: str | None = Field(default=None, max_length=500)
    choices: tuple[str, ...] = ()
    secret: bool = False
    generate: bool = False

    @property
    def hidden(self) -> bool:
        """Return whether the value is hidden: marked secret or a password."""
        return self.secret or self.type == "password"

    @model_validator(mode="after")
    def _sound(self) -> ConfigField:
        if (self.type == "choice") != bool(self.choices):
            raise ValueError("choices belong to the type choice, and it needs them")
        if self.generate and not (self.secret and self.type in ("string", "password")):
            raise ValueError("only a secret text can be generated")
        if self.pattern is not None:
            try:
                _matches(self.pattern, "")
            except SchemaError:
                raise ValueError("the pattern is no expression that is known here") from None
        if self.default is not None and (complaint := self.complaint(self.default)):
            raise ValueError(f"the default {complaint}")
        if self.generate and (complaint := self.complaint(self.generated())):
            raise ValueError(f"a generated value {complaint}")
        return self

    def generated(self) -> str:
        """Return a new random value: 32 letters and digits, or as many as its lengths ask."""
        length = min(max(32, self.min_length or 0), self.max_length or _LONGEST)
        return "".join(secrets.choice(_ALPHABET) for _ in range(length))

    def complaint(self, value: object) -> str | None:
        """Return why a value is invalid, without repeating it, or None."""
        if self.type == "boolean":
            return None if isinstance(value, bool) else "must be true or false"
        if self.type in _TEXTS:
            return self._about_text(value)
        if not isinstance(value, int) or isinstance(value, bool):
            return "must be a whole number"
        low, high = (1, 65535) if self.type == "port" else (-(2**63), 2**63 - 1)
        low = low if self.min is None else self.min
        high = high if self.max is None else self.max
        return None if low <= value <= high else f"must lie between {low} and {high}"

    def _about_text(self, value: object) -> str | None:
        if not isinstance(value, str):
            return "must be a text"
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            return "holds a character that no setting can hold"
        if self.type == "choice":
            return None if value in self.choices else f"must be one of {', '.join(self.choices)}"
        least, most = self.min_length or 0, self.max_length or _LONGEST
        if len(value) < least:
            return f"must have at least {least} characters"
        if len(value) > most:
            return f"must have at most {most} characters"
        if self.pattern is not None and not _matches(self.pattern, value):
            return f"must match {self.pattern}"
        return None


def validate_config(template: Template, given: Mapping[str, Any]) -> dict[str, Value]:
    """Return an app's settings: given values, else defaults, else generated secrets.

    Raises InvalidRequest with all complaints at once, as `fields: [{"path": "config.<name>", "message"}]`.
    """
    if not isinstance(given, Mapping):
        raise InvalidRequest.field("config", "must be an object")
    fields = {field.name: field for field in template.config}
    strange = [str(name)[:200] for name in given if name not in fields][:_MOST_COMPLAINTS]
    complaints = [(name, _unknown(name, fields)) for name in strange]
    values: dict[str, Value] = {}
    for name, field in fields.items():
        value = given.get(name)
        if value is None:
            value = field.default if field.default is not None else field.generated() if field.generate else None
        if value is None or (value == "" and field.required):
            if field.required:
                complaints.append((name, "is required"))
        elif complaint := field.complaint(value):
            complaints.append((name, complaint))
        else:
            values[name] = value
    if complaints:
        raise InvalidRequest(
            f"The configuration does not fit {template.display_name}: "
            + "; ".join(f"{name} {message}" for name, message in complaints[:5]),
            fields=[{"path": f"config.{name}", "message": message} for name, message in complaints],
        )
    return values


def _unknown(name: str, fields: Mapping[str, ConfigField]) -> str:
    near = difflib.get_close_matches(name, fields, n=1)
    return f"is no setting of this template; did you mean {near[0]}?" if near else "is no setting of this template"


def _matches(pattern: str, value: str) -> bool:
    """Match in linear time (pydantic's Rust expressions): a catalogue from elsewhere cannot hang us."""
    checker: TypeAdapter[str] = TypeAdapter(Annotated[str, StringConstraints(pattern=f"^(?:{pattern})$")])
    try:
        checker.validate_python(value)
    except ValidationError:
        return False
    return True
