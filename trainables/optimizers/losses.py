"""The loss of every example, and the defences that change it.

Classes come first: logits and targets are ``[C, ...]``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainables.recipe import Recipe

# Logits and soft targets [C, ..., B] of a batch -> one loss an example [..., B]; their mean is what is
# trained on. Over a last axis of ten classes a softmax takes twenty times as long on a CPU.
Objective = Callable[[Tensor, Tensor], Tensor]


def objective(recipe: Recipe, epoch: int = 0) -> Objective:
    """Cross-entropy with the recipe's label smoothing, confidence penalty and RelaxLoss.

    ``label_smoothing`` s: the target becomes (1-s) t + s/C (Szegedy et al. 2016, section 7); s in 0..1.
    ``confidence_penalty`` b: the loss loses b H(p), H the prediction's entropy (Pereyra et al. 2017, equation
    3); nats per nat, 0.1 to 1.
    """

    def losses(logits: Tensor, targets: Tensor) -> Tensor:
        log_p = logits.log_softmax(0)
        if recipe.label_smoothing:
            targets = targets.lerp(torch.full_like(targets, 1 / len(targets)), recipe.label_smoothing)
        loss = -(targets * log_p).sum(0)
        if recipe.confidence_penalty:
            loss = loss + recipe.confidence_penalty * (log_p.exp() * log_p).sum(0)
        return relaxed(loss, log_p, targets, recipe.relaxloss, epoch) if recipe.relaxloss else loss

    return losses


def relaxed(loss: Tensor, log_p: Tensor, targets: Tensor, level: float, epoch: int) -> Tensor:
    """RelaxLoss: descent while the batch's mean loss is above ``level``, else ascent or posterior flattening.

    Chen et al. 2022, algorithm 1, with the cases of the authors' code: below the level, even epochs train on
    |mean - level|; odd ones on the negative loss plus, where the prediction is wrong, the cross-entropy with
    soft labels that keep the true class's confidence and share the rest equally. The soft labels are
    constants, as labels are in the paper; the authors' code differentiates through them too. ``level`` in
    nats, 0.1 to 2.
    """
    above = loss.detach().mean(-1, keepdim=True) > level
    if epoch % 2 == 0:
        return torch.where(above, loss - level, level - loss)
    p = log_p.detach().exp()
    true = targets == targets.amax(0)
    own = (p * true).sum(0)
    soft = torch.where(true, own, (1 - own) / (len(p) - 1))
    wrong = p.argmax(0) != targets.argmax(0)
    return torch.where(above, loss, -(soft * log_p).sum(0) * wrong - loss)
