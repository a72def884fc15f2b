"""What every part of a spec refuses, whatever it holds."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError

from trainables.section import Section


class Example(Section):
    number: float = 1.0
    count: int | None = None
    level: Literal[1, 2] = 1
    several: tuple[float, ...] = ()
    named: dict[str, int] = Field(default={})
    switch: bool = False
    either: bool | int = 0
    anything: Any = None
    word: str = ""


@pytest.mark.parametrize(
    "values",
    [
        {"number": True},
        {"count": False},
        {"level": True},
        {"several": [0.5, True]},
        {"several": (True,)},
        {"named": {"a": 1, "b": False}},
    ],
    ids=str,
)
def test_yes_and_no_are_no_numbers(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="expected a number, not yes or no"):
        Example.model_validate(values)


@pytest.mark.parametrize(
    "values",
    [{"switch": True}, {"either": True}, {"anything": [True]}, {"count": None}, {"named": {"a": 1}}],
    ids=str,
)
def test_they_are_taken_where_they_are_meant(values: dict[str, Any]) -> None:
    assert Example.model_validate(values).model_dump(include=set(values)) == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"numbre": 1}, "Extra inputs are not permitted"),
        ({"number": float("inf")}, "finite number"),
        ({"several": [float("nan")]}, "finite number"),
        ({"word": True}, "valid string"),
    ],
)
def test_unknown_keys_and_infinities_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Example.model_validate(values)


def test_values_never_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Example().number = 2.0  # type: ignore[misc]
