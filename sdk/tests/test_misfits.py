"""Messages about fields have one voice: a dotted place, and no word of pydantic's, of Python's or of our code."""

from typing import Annotated, Literal

import pytest
from cloudos_sdk.http import Body
from cloudos_sdk.misfits import place_of, sentence_of
from pydantic import AfterValidator, Field, ValidationError


def refuse(value):
    raise ValueError("there is no such fruit, try pear")


class Seed(Body):
    size: int = 1


class Fruit(Body):
    name: str = Field(default="", pattern="^[a-z]{3}$", max_length=3)
    kind: Annotated[str, AfterValidator(refuse)] | None = None
    count: int | None = None
    ripe: bool = False
    weight: float = 0
    color: Literal["red", "green"] = "red"
    seeds: list[Seed] = []
    either: int | list[int] = 0


@pytest.mark.parametrize(
    ("body", "place", "sentence"),
    [
        ({"name": "A"}, "name", "is not in the form that this takes; /api/docs shows it"),
        ({"name": 1}, "name", "must be a valid string"),
        ({"kind": "x"}, "kind", "there is no such fruit, try pear"),
        ({"count": "5"}, "count", "must be a valid integer"),
        ({"count": True}, "count", "must be a valid integer"),
        ({"ripe": "yes"}, "ripe", "must be a valid boolean"),
        ({"ripe": 1}, "ripe", "must be a valid boolean"),
        ({"weight": "1.5"}, "weight", "must be a valid number"),
        ({"color": "blue"}, "color", "must be 'red' or 'green'"),
        ({"seeds": [{"size": "1"}]}, "seeds.0.size", "must be a valid integer"),
        ({"seeds": [{"weight": 1}]}, "seeds.0.weight", "is not known here"),
        ({"seeds": [1]}, "seeds.0", "must be a JSON object, as {}"),
        ({"either": ["x"]}, "either.0", "must be a valid integer"),
        ({"odd": 1}, "odd", "is not known here"),
    ],
)
def test_what_does_not_fit_is_said_in_one_voice(body, place, sentence):
    with pytest.raises(ValidationError) as caught:
        Fruit.model_validate(body)
    assert (place, sentence) in [(place_of(item), sentence_of(item)) for item in caught.value.errors()]


def test_whole_numbers_are_numbers():
    assert Fruit.model_validate({"weight": 1, "count": 2, "ripe": True}).weight == 1
