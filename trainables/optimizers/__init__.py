"""How a replica takes a step: gradient rules, update rules, losses and differential privacy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainables.optimizers.registry import OPTIMIZERS
    from trainables.optimizers.update_rules import UpdateRule, update_rule

__all__ = ["OPTIMIZERS", "UpdateRule", "update_rule"]

# Imported when first used: torch takes seconds, and reading a record or a spec needs none of it.
_WHERE = {
    "OPTIMIZERS": "trainables.optimizers.registry",
    "UpdateRule": "trainables.optimizers.update_rules",
    "update_rule": "trainables.optimizers.update_rules",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
