"""What one trial does: train an ensemble of replicas and record their signals. Usable without Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainables.recipe import Recipe

if TYPE_CHECKING:
    from trainables.training import train_replicas

__all__ = ["Recipe", "train_replicas"]


def __getattr__(name: str) -> Any:
    """Imports torch only when training is asked for: reading records must not wait for it."""
    if name == "train_replicas":
        from trainables.training import train_replicas

        return train_replicas
    raise AttributeError(f"module 'trainables' has no attribute {name!r}")
