"""What Kim et al. (arXiv 2310.00488) published of SGD, SAM and a mitigation, to hold a sweep against."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One published pair of figures.

    Args:
        data: The data set's name, as it is found in the name of a sweep.
        metric: The column of ``results/recipes.parquet`` that measures the same.
        title: What the figure is.
        sgd: Its value under SGD, as a fraction.
        sam: Its value under SAM, as a fraction.
    """

    data: str
    metric: str
    title: str
    sgd: float
    sam: float


PUBLISHED = (
    Published("cifar10", "test_accuracy", "test accuracy, %", 0.923, 0.931),
    Published("cifar10", "lira_tpr_at_0.1pct", "LiRA, TPR at 0.1 % FPR, %", 0.088, 0.125),
    Published("cifar100", "test_accuracy", "test accuracy, %", 0.803, 0.816),
    Published("cifar100", "confidence_balanced_accuracy", "confidence attack, %", 0.7719, 0.7910),
    Published("cifar100", "rmia_auc", "RMIA, AUC", 0.904, 0.916),
)
# Measured by every audit; no figure of the same kind is known to us for either data set.
ALSO = {
    "lira_auc": "LiRA, AUC",
    "rmia_auc": "RMIA, AUC",
    "confidence_balanced_accuracy": "confidence attack, %",
    "entropy_balanced_accuracy": "entropy attack, %",
    "modified_entropy_balanced_accuracy": "modified-entropy attack, %",
    "memorization": "mean memorization, %",
    "memorization_rate": "memorization rate, %",
}
# The published mitigation: attack advantage -41 % for less than 0.8 points of test accuracy.
RISK_REDUCTION, ACCURACY_LOSS = 0.41, 0.008
TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}


def data_of(directory: str) -> str:
    """Return the data set that a sweep's name starts with, ``""`` where the paper does not use it.

    >>> data_of("cifar100-wrn28-2"), data_of("digits")
    ('cifar100', '')
    """
    return next((name for name in sorted(TITLES, reverse=True) if directory.startswith(name)), "")
