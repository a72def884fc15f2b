"""A pydantic error as one line: the place, the value, what was expected, the nearest valid name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from trainables.errors import UserError
from trainables.registry import nearest


def explain(error: ValidationError, schema: type[BaseModel], at: str = "") -> UserError:
    """Return the first problem of ``error``, which validating ``schema`` at place ``at`` raised.

    >>> class Point(BaseModel, extra="forbid"):
    ...     radius: int
    >>> try:
    ...     Point(radios=1, radius=2)
    ... except ValidationError as error:
    ...     print(explain(error, Point, "grid[0]"))
    grid[0].radios: unknown key; did you mean 'radius'?
    """
    problem = error.errors(include_url=False)[0]
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, UserError) and not problem["loc"]:
        return UserError(f"{at}: {cause}" if at else str(cause))
    where = place(at, problem["loc"])
    value, message = problem["input"], problem["msg"].replace("Input should be", "expected")
    if problem["type"] == "extra_forbidden":
        keys = _schema_at(schema, problem["loc"][:-1]).model_fields
        return UserError(f"{where}: unknown key; {nearest(str(problem['loc'][-1]), keys)}")
    if problem["type"] == "missing":
        return UserError(f"{where}: is missing")
    if cause is not None:
        message = str(cause)
        if message.startswith(where):
            return UserError(message)
    shown = "" if isinstance(value, dict) else f"{short(value)}: "
    return UserError(f"{where}: {shown}{message}" if where else f"{shown}{message}")


def place(at: str, location: Sequence[str | int]) -> str:
    """``place("grid[1]", ("rho",)) == "grid[1].rho"``."""
    for step in location:
        at += f"[{step}]" if isinstance(step, int) else f".{step}" if at else step
    return at


def short(value: Any) -> str:
    """Return a value as YAML would hold it, cut to one readable line."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."


def _schema_at(schema: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel]:
    for step in location:
        if isinstance(step, int):
            continue
        annotation = schema.model_fields[step].annotation
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        schema = next(kind for kind in kinds if issubclass(kind, BaseModel))
    return schema
