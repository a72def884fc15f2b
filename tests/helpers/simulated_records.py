"""Records of made-up replicas whose logits leak by a known amount; no training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainables.data.subsets import Subsets, draw_members
from trainables.records import Context, Record, Signals


def simulate(
    seeds: Sequence[int],
    *,
    n: int = 120,
    m: int = 90,
    classes: int = 4,
    leak: float = 1.0,
    queries: int = 1,
    canaries: int = 0,
    recipe: dict[str, Any] | None = None,
    subsets: Subsets | None = None,
    world: int = 0,
) -> Record:
    """The logit of the true class is 2.5 - 1.5 difficulty, plus ``leak`` (1 + difficulty) if trained on it.

    Depends on ``world`` and each subset seed alone, so blocks of seeds can be simulated one by one.
    """
    subsets = subsets or Subsets()
    rng = np.random.default_rng(world)
    labels, labels_test = rng.integers(0, classes, n), rng.integers(0, classes, m)
    difficulty, difficulty_test = rng.normal(size=n), rng.normal(size=m)
    members = draw_members(subsets, seeds, n, canaries=range(canaries))

    def signals(purpose: int, y: np.ndarray, hard: np.ndarray, mask: np.ndarray) -> Signals:
        noise = [
            np.random.default_rng([world, s, purpose]).normal(size=(queries, len(y), classes)) for s in seeds
        ]
        logits = np.stack(noise)
        pull = 2.5 - 1.5 * hard + leak * mask * (1 + np.maximum(hard, 0))
        logits[..., np.arange(len(y)), y] += pull[:, None]
        return Signals.of(logits, y)

    train = signals(0, labels, difficulty, members)
    test = signals(1, labels_test, difficulty_test, np.zeros((len(seeds), m), bool))
    ones = np.ones(len(seeds))
    return Record(
        recipe=recipe or {"optimizer": "sgd"},
        context=Context(
            dataset={"name": "simulated"},
            fingerprint=str(world),
            model={"name": "mlp"},
            subsets=subsets,
            queries=queries,
        ),
        seeds=np.asarray(seeds),
        members=members,
        labels_train=labels,
        labels_test=labels_test,
        train=train,
        test=test,
        test_accuracy=test.correct[:, 0].mean(axis=1),
        train_accuracy=(train.correct[:, 0] & members).sum(axis=1) / members.sum(axis=1),
        final_loss=0.1 * ones,
        seconds=2.0 * ones,
        epochs=40 * ones,
        epsilon=np.inf * ones,
        delta=0 * ones,
        canaries=np.arange(canaries),
    )
