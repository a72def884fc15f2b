"""The knobs of a recipe by kind: the one place that says what a knob is for.

Labels hide the training hyper-parameters that do not vary, studies compare recipes with and without defences,
and the page sorts its columns by kind. All of them read it here.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["optimizer", "training", "defence"]

KNOBS: dict[str, Kind] = {
    # What the optimizer is, and what belongs to it alone (``optimizers.registry`` says which takes which).
    **dict.fromkeys(
        (
            "optimizer",
            "options",
            "rho",
            "eta",
            "alpha",
            "k",
            "sigma",
            "lmbda",
            "beta",
            "gamma",
            "m",
            "swa_start",
        ),
        "optimizer",
    ),
    # How long and how fast to train.
    **dict.fromkeys(
        (
            *("base", "epochs", "batch_size", "lr", "momentum", "nesterov", "weight_decay", "schedule"),
            *("warmup", "augment", "precision"),
        ),
        "training",
    ),
    # What makes a replica leak less.
    **dict.fromkeys(
        (
            *("grad_reg", "noise", "label_smoothing", "mixup", "confidence_penalty", "relaxloss"),
            *("early_stopping", "clip", "noise_multiplier", "target_epsilon", "delta"),
        ),
        "defence",
    ),
}


def of_kind(kind: Kind) -> tuple[str, ...]:
    """Return the knobs of one kind, in the order in which they are shown.

    Args:
        kind: ``"optimizer"``, ``"training"`` or ``"defence"``.

    Returns:
        Names of fields of `trainables.Recipe`.
    """
    return tuple(name for name, its in KNOBS.items() if its == kind)


TRAINING = of_kind("training")
DEFENCES = frozenset(of_kind("defence"))
