"""Logits -> the per-example signals that every attack and score is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


def log_softmax(logits: ArrayLike) -> Floats:
    """Return log probabilities over the last axis, float64, stable for any finite logits.

    Args:
        logits: ``[..., C]``, finite.

    Returns:
        log p_c in nats, ``[..., C]``.
    """
    z = np.asarray(logits, dtype=np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=-1, keepdims=True)))


def _true_class(values: Floats, labels: ArrayLike) -> Floats:
    """Return the entry of each example's label: ``values[..., n, C]``, ``labels[n]`` -> ``[..., n]``."""
    index = np.broadcast_to(np.asarray(labels), values.shape[:-1])[..., None]
    return np.take_along_axis(values, index, axis=-1)[..., 0]


def log_p_true(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """Return log probability of the label, log p_y: the negative cross-entropy loss.

    Args:
        logits: ``[..., n, C]``, finite.
        labels: ``[n]``, integers below C.

    Returns:
        log p_y in nats, ``[..., n]``, at most 0.
    """
    return _true_class(log_softmax(logits), labels)


def scaled_logit(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """LiRA's scaled confidence, log p_y - log sum_{c != y} p_c (Carlini et al. 2022, section VI-A).

    Computed as z_y - logsumexp_{c != y} z_c, so it stays finite and exact where p_y rounds to 0 or 1.

    Args:
        logits: ``[..., n, C]``, finite.
        labels: ``[n]``, integers below C.

    Returns:
        The margin in nats, ``[..., n]``; above 0 where the label has more than half of the probability.

    >>> scaled_logit([[2.0, 0.0]], [0])
    array([2.])
    """
    z = np.asarray(logits, dtype=np.float64)
    own = _true_class(z, labels)
    others = z.copy()
    index = np.broadcast_to(np.asarray(labels), z.shape[:-1])[..., None]
    np.put_along_axis(others, index, -np.inf, axis=-1)
    peak = others.max(axis=-1, keepdims=True)
    return np.asarray(own - (np.log(np.exp(others - peak).sum(axis=-1)) + peak[..., 0]))


def entropy(logits: ArrayLike) -> Floats:
    """Return the entropy of the prediction, -sum_c p_c log p_c.

    Args:
        logits: ``[..., n, C]``, finite.

    Returns:
        Nats, ``[..., n]``, from 0 to log C.

    >>> entropy([[0.0, 0.0]]).round(4)  # log 2
    array([0.6931])
    """
    log_p = log_softmax(logits)
    return np.asarray(-(np.exp(log_p) * log_p).sum(axis=-1))


def modified_entropy(logits: ArrayLike, labels: ArrayLike) -> Floats:
    """Compute -(1-p_y) log p_y - sum_{c != y} p_c log(1-p_c) (Song and Mittal 2021, equation 8).

    It is small only when the prediction is confident *and* right. log(1-p) is taken as the log of the other
    classes' mass, which keeps its precision as p approaches 1.

    Args:
        logits: ``[..., n, C]``, finite.
        labels: ``[n]``, integers below C.

    Returns:
        Nats, ``[..., n]``, at least 0.

    >>> modified_entropy([[0.0, 0.0]], [0]).round(4)  # log 2
    array([0.6931])
    """
    log_p = log_softmax(logits)
    p = np.exp(log_p)
    rest = np.clip(p.sum(axis=-1, keepdims=True) - p, 0.0, 1.0)
    top = p.argmax(axis=-1)[..., None]
    # 1 - p cancels for the largest class only; summing the others keeps its digits.
    others = p.copy()
    np.put_along_axis(others, top, 0.0, axis=-1)
    np.put_along_axis(rest, top, others.sum(axis=-1, keepdims=True), axis=-1)
    log_rest = np.log(np.maximum(rest, np.finfo(np.float64).tiny))
    terms = -p * log_rest
    own = -_true_class(rest, labels) * _true_class(log_p, labels)
    return np.asarray(terms.sum(axis=-1) - _true_class(terms, labels) + own)
