"""Layouts and their validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from cloudos_sdk import UtcTime
from cloudos_sdk.http import Body, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["server", "personal"]

WIDGETS = 200
_EDGE = 1000
_DEPTH = 10_000

Place = Annotated[int, Field(strict=True)]
Number = Annotated[int, Field(strict=True, ge=0, lt=2**31 - 1)]


class KindQuery(Query):
    """Which dashboard."""

    type: Kind = Field(description="server (Server Home) or personal (Personal Home)")


class Widget(Body):
    """A widget on the grid: its upper left cell and its size in cells."""

    id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")
    x: Annotated[Place, Field(ge=0, lt=_EDGE)]
    y: Annotated[Place, Field(ge=0, lt=_DEPTH)]
    w: Annotated[Place, Field(ge=1, le=_EDGE)]
    h: Annotated[Place, Field(ge=1, le=_DEPTH)]


class NewLayout(Body):
    """A layout to save over the version that the client has seen."""

    version: Number
    layout: list[Widget] = Field(max_length=WIDGETS)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        """Refuse two widgets with one id, or in one cell."""
        fault = fault_of(self.layout)
        if fault is not None:
            raise ValueError(fault)
        return self


class RestoreQuery(KindQuery):
    """The query of a restore: kind, and the version expected to be current."""

    current: int | None = Field(
        default=None, ge=0, lt=2**31 - 1, description="The version that you have; 409 if it is old"
    )


class Answer(BaseModel):
    """Base of answers; the validator is built on first use."""

    model_config = ConfigDict(defer_build=True)


class LayoutOut(Answer):
    """A layout."""

    type: Kind
    version: int
    layout: list[Widget]


class Saved(Answer):
    """The current version."""

    type: Kind
    version: int


class VersionOut(Answer):
    """An earlier version of a layout."""

    version: int
    widgets: int
    saved_at: UtcTime


def fault_of(layout: Sequence[Widget]) -> str | None:
    """Return the fault of a layout as a whole, or None."""
    seen: set[str] = set()
    for widget in layout:
        if widget.id in seen:
            return f"there are two widgets with the id {widget.id}"
        seen.add(widget.id)
        if widget.x + widget.w > _EDGE or widget.y + widget.h > _DEPTH:
            return f"the widget {widget.id} reaches over the edge of {_EDGE} by {_DEPTH} cells"
    ordered = sorted(layout, key=lambda widget: widget.y)
    for number, upper in enumerate(ordered):
        for lower in ordered[number + 1 :]:
            if lower.y >= upper.y + upper.h:
                break
            if lower.x < upper.x + upper.w and upper.x < lower.x + lower.w:
                return f"the widgets {upper.id} and {lower.id} overlap"
    return None
