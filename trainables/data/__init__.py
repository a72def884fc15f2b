"""What replicas train on: sources, images, data sets, subsets, batches and augmentation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainables.data.dataset import Dataset, load_dataset

__all__ = ["Dataset", "load_dataset"]

# Imported when first used: torch takes seconds, and reading a record or a spec needs none of it.
_WHERE = {
    "Dataset": "trainables.data.dataset",
    "load_dataset": "trainables.data.dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
