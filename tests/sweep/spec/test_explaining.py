"""Errors of pydantic as one line each, whatever the schema."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from sweep.spec.explaining import explain, place, short
from trainables.errors import UserError


class Part(BaseModel, extra="forbid"):
    count: int = Field(default=1, ge=1)
    name: str = "x"

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "own":
            raise UserError("whole.parts[0].name: 'own' is taken")
        if value == "bad":
            raise ValueError("expected a good name")
        return value


class Whole(BaseModel, extra="forbid"):
    size: float
    parts: list[Part] = []
    one: Part | None = None


@pytest.mark.parametrize(
    ("values", "at", "line"),
    [
        ({}, "", "size: is missing"),
        ({}, "whole", "whole.size: is missing"),
        ({"size": "big"}, "", "size: 'big': expected a valid number, unable to parse string as a number"),
        ({"size": 1, "sise": 2}, "", "sise: unknown key; did you mean 'size'?"),
        ({"size": 1, "parts": [{}, {"coutn": 2}]}, "", "parts[1].coutn: unknown key; did you mean 'count'?"),
        ({"size": 1, "one": {"nmae": 2}}, "whole", "whole.one.nmae: unknown key; did you mean 'name'?"),
        ({"size": 1, "parts": [{"count": 0}]}, "", "parts[0].count: 0: expected greater than or equal to 1"),
        ({"size": 1, "parts": [{"name": "bad"}]}, "", "parts[0].name: 'bad': expected a good name"),
        ({"size": 1, "parts": [{"name": "own"}]}, "whole", "whole.parts[0].name: 'own' is taken"),
        ({"size": 1, "one": 3}, "", "one: 3: expected a valid dictionary or instance of Part"),
    ],
)
def test_the_first_problem_with_its_place_and_the_nearest_name(
    values: dict[str, Any], at: str, line: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(values)
    assert str(explain(caught.value, Whole, at)) == line


@pytest.mark.parametrize(("at", "line"), [("", "no room"), ("grid[2]", "grid[2]: no room")])
def test_a_users_error_about_the_whole_stays_as_it_is(at: str, line: str) -> None:
    problem = PydanticCustomError("value_error", "no room", {"error": UserError("no room")})
    error = ValidationError.from_exception_data("Whole", [{"type": problem, "loc": (), "input": {}}])
    assert str(explain(error, Whole, at)) == line


@pytest.mark.parametrize(
    ("at", "location", "expected"),
    [
        ("", (), ""),
        ("", ("a", 0, "b"), "a[0].b"),
        ("grid[1]", ("rho",), "grid[1].rho"),
        ("grid", (0, 1), "grid[0][1]"),
    ],
)
def test_places_are_written_as_in_overrides(at: str, location: tuple[str | int, ...], expected: str) -> None:
    assert place(at, location) == expected


def test_values_are_one_readable_line() -> None:
    assert short("a\nb") == repr("a\nb")
    assert short(list(range(100))) == repr(list(range(100)))[:57] + "..."
    assert len(short("x" * 500)) == 60
