"""The base of everything that a spec holds: unknown keys refused, values fixed, numbers no booleans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """A part of a spec: unknown keys are refused, values never change, and yes or no is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_no_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``epochs: yes``, which pydantic would take for 1."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if _holds_boolean(value) and _takes(annotation, (int, float)) and not _takes(annotation, (bool, Any)):
            raise ValueError("expected a number, not yes or no")
        return value


def _holds_boolean(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_boolean, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_holds_boolean, value))
    return isinstance(value, bool)


def _takes(annotation: Any, kinds: tuple[Any, ...]) -> bool:
    """Return whether one of ``kinds``, or a literal number, is part of an annotation."""
    if annotation in kinds or (isinstance(annotation, int) and int in kinds):
        return True
    return any(_takes(part, kinds) for part in get_args(annotation))
