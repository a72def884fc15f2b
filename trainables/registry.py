"""Names to things: registry look-ups and import strings."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from trainables.errors import UserError

T = TypeVar("T")


def nearest(name: str, choices: Iterable[str]) -> str:
    """Name the choice that a wrong name may have meant.

    Args:
        name: What was given.
        choices: What there is.

    Returns:
        ``"did you mean 'sam'?"`` for the shortest choice that starts so or the closest one, else all choices.

    >>> nearest("sma", ["sam", "sgd"])
    "did you mean 'sam'?"
    """
    names = sorted(choices)
    longer = sorted((n for n in names if name and n.startswith(name)), key=len)
    close = longer or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names)}"


def registered(kind: str, name: str, registry: Mapping[str, T]) -> T:
    """Look up a registered name.

    Args:
        kind: What the registry holds, for the error.
        name: The name.
        registry: Entries by name.

    Returns:
        The entry.

    Raises:
        UserError: There is none; says the nearest one.
    """
    if name in registry:
        return registry[name]
    raise UserError(f"{kind} {name!r} is not known; {nearest(name, registry)}")


def lookup(kind: str, name: str, registry: Mapping[str, T]) -> T:
    """Look up a registered name, or import what an import string ``package.module:attribute`` names.

    Args:
        kind: What the registry holds, for the error.
        name: The name or import string.
        registry: Entries by name.

    Returns:
        The entry or the object.

    Raises:
        UserError: The name is neither registered nor importable; says the nearest registered name.
    """
    if name not in registry and ":" in name:
        return import_string(kind, name)
    return registered(kind, name, registry)


def lookup_factory(kind: str, name: str, registry: Mapping[str, Callable[..., T]]) -> Callable[..., T]:
    """Like ``lookup`` for what is going to be called."""
    found = lookup(kind, name, registry)
    if not callable(found):
        raise UserError(f"{kind} {name!r} is of type {type(found).__name__}; expected a function")
    return found


def import_string(kind: str, name: str) -> T:  # type: ignore[type-var]
    """Return the object that ``package.module:attribute`` names, found on the user's own Python path."""
    module, _, attribute = name.partition(":")
    try:
        found: T = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{kind} {name!r} cannot be imported: {error}") from error
    return found
