"""How a replica takes a step: gradient rules, update rules, losses and differential privacy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.lazy import lazily

if TYPE_CHECKING:
    from trainables.optimizers.registry import OPTIMIZERS
    from trainables.optimizers.update_rules import UpdateRule, update_rule

__all__ = ["OPTIMIZERS", "UpdateRule", "update_rule"]

__getattr__ = lazily(
    __name__,
    {
        "OPTIMIZERS": "trainables.optimizers.registry",
        "UpdateRule": "trainables.optimizers.update_rules",
        "update_rule": "trainables.optimizers.update_rules",
    },
)
