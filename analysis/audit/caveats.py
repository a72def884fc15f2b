"""What to mind of a recipe's figures, in short: too few replicas, too few test examples, poor training."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.audit.ledger import FEW
from analysis.ensemble import Ensemble

FEWEST_TESTS = 100  # examples; with fewer, chance alone moves an accuracy of 95 % by more than 4 points
AT_CHANCE = 0.05  # of the way from guessing the largest class to certainty
FAR_BELOW = 0.5  # of the way from guessing to the most accurate recipe
LOWEST_RATE = "lira_tpr_at_0.1pct"


def caveats(recipes: pd.DataFrame, ensembles: Mapping[str, Ensemble], attacks: Collection[str]) -> list[str]:
    """Say of each recipe what limits its figures.

    Args:
        recipes: rows of the recipes table, with ``recipe_id``, ``replicas``, ``test_accuracy`` and LiRA's
            columns where it ran.
        ensembles: the recipes' ensembles by recipe_id.
        attacks: names of the attacks that the audit was asked for.

    Returns:
        One plain text a row, its parts joined by "; "; empty where there is nothing to mind.
    """
    best = recipes["test_accuracy"].max()
    return [
        "; ".join(
            [
                *_replicas(row, ensembles[row["recipe_id"]], attacks),
                *_training(row["test_accuracy"], best, ensembles[row["recipe_id"]].labels_test),
            ]
        )
        for row in recipes.to_dict("records")
    ]


def _replicas(row: Mapping[Hashable, Any], ensemble: Ensemble, attacks: Collection[str]) -> Iterator[str]:
    replicas = ensemble.replicas
    share = float(ensemble.drawn().members.mean())
    rarer = min(share, 1 - share)
    if np.isnan(row.get("test_accuracy_low", np.nan)):
        yield f"{replicas} replicas: no interval"
    elif replicas * rarer < FEW:
        enough = f"take {int(np.ceil(FEW / rarer))} or more" if rarer else "each example needs both sides"
        yield f"{replicas} replicas: LiRA is biased, {enough}"
    if "lira" not in attacks:
        return
    if np.isnan(row.get("lira_auc", np.nan)):
        yield "no LiRA: it needs other replicas with and without each example"
    elif np.isnan(row.get(LOWEST_RATE, np.nan)):
        scores = int((~ensemble.members).sum())
        yield f"{scores} non-member scores: no TPR at 0.1 % FPR"


def _training(accuracy: float, best: float, labels: np.ndarray) -> Iterator[str]:
    if not len(labels):
        yield "no test examples: no test accuracy"
        return
    if len(labels) < FEWEST_TESTS:
        yield f"{len(labels)} test examples: test accuracy is rough"
    guess = float(np.bincount(labels).max() / len(labels))
    if accuracy <= guess + AT_CHANCE * (1 - guess):
        yield f"barely trained: test accuracy {_percent(accuracy)}, guessing gives {_percent(guess)}"
    elif accuracy - guess < FAR_BELOW * (best - guess):
        yield f"trained poorly: test accuracy {_percent(accuracy)}, the best recipe's is {_percent(best)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
