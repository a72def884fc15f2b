"""What one trial does: train an ensemble of replicas and record their signals. Usable without Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.lazy import lazily
from trainables.recipe import Recipe

if TYPE_CHECKING:
    from trainables.training import train_replicas

__all__ = ["Recipe", "train_replicas"]

__getattr__ = lazily(__name__, {"train_replicas": "trainables.training"})
