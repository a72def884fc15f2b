"""What replicas train on: sources, images, data sets, subsets, batches and augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.lazy import lazily

if TYPE_CHECKING:
    from trainables.data.dataset import Dataset, load_dataset

__all__ = ["Dataset", "load_dataset"]

__getattr__ = lazily(
    __name__,
    {
        "Dataset": "trainables.data.dataset",
        "load_dataset": "trainables.data.dataset",
    },
)
