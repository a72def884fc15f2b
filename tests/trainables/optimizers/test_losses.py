"""Losses against PyTorch's own and against re-statements of the papers, gradients included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from trainables import Recipe
from trainables.data.augmentation import mixed
from trainables.optimizers.losses import objective

K, B, C = 3, 7, 5


def batch(seed: int = 0, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``[K, B, C]`` and labels ``[K, B]``."""
    torch.manual_seed(seed)
    return scale * torch.randn(K, B, C, dtype=torch.float64), torch.randint(C, (K, B))


def ours(
    recipe: Recipe, logits: torch.Tensor, labels: torch.Tensor, epoch: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses ``[K, B]`` and the gradient of each replica's mean loss with respect to its logits."""
    leaf = logits.clone().requires_grad_()
    targets = functional.one_hot(labels, C).movedim(-1, 0).to(logits.dtype)
    losses = objective(recipe, epoch)(leaf.movedim(-1, 0), targets)
    losses.mean(1).sum().backward()
    return losses.detach(), leaf.grad


def slope(loss, logits: torch.Tensor) -> torch.Tensor:
    leaf = logits.clone().requires_grad_()
    loss(leaf).backward()
    return leaf.grad


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_and_label_smoothing_equal_pytorch(smoothing: float) -> None:
    logits, labels = batch()
    losses, gradient = ours(Recipe(label_smoothing=smoothing), logits, labels)
    for k in range(K):

        def reference(z, k=k, reduction="mean"):
            return functional.cross_entropy(z, labels[k], label_smoothing=smoothing, reduction=reduction)

        torch.testing.assert_close(losses[k], reference(logits[k], reduction="none"))
        torch.testing.assert_close(gradient[k], slope(reference, logits[k]))


def test_confidence_penalty_rewards_entropy() -> None:
    logits, labels = batch()
    losses, gradient = ours(Recipe(confidence_penalty=0.3), logits, labels)
    for k in range(K):

        def reference(z, k=k):
            entropy = torch.distributions.Categorical(logits=z).entropy()
            return (functional.cross_entropy(z, labels[k], reduction="none") - 0.3 * entropy).mean()

        assert losses[k].mean().item() == pytest.approx(reference(logits[k]).item())
        torch.testing.assert_close(gradient[k], slope(reference, logits[k]))


def relaxloss_of_one_replica(z: torch.Tensor, y: torch.Tensor, level: float, epoch: int) -> torch.Tensor:
    """Chen et al. 2022, algorithm 1, with an ``if`` where ours selects."""
    each = functional.cross_entropy(z, y, reduction="none")
    if epoch % 2 == 0:
        return (each.mean() - level).abs()
    if each.mean() > level:
        return each.mean()
    p = z.detach().softmax(1)
    total = torch.zeros(())
    for i, label in enumerate(y.tolist()):
        soft = torch.full((C,), (1 - p[i, label].item()) / (C - 1), dtype=z.dtype)
        soft[label] = p[i, label]
        wrong = float(p[i].argmax() != label)
        total = total + wrong * -(soft * z[i].log_softmax(0)).sum() - each[i]
    return total / len(y)


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("level", [0.5, 2.5])
def test_relaxloss_takes_each_replica_by_its_own_mean_loss(epoch: int, level: float) -> None:
    logits, labels = batch()
    logits[0] += 3 * functional.one_hot(labels[0], C)  # one replica below the level, the others above
    losses, gradient = ours(Recipe(relaxloss=level), logits, labels, epoch)
    for k in range(K):

        def reference(z, k=k):
            return relaxloss_of_one_replica(z, labels[k], level, epoch)

        assert losses[k].mean().item() == pytest.approx(reference(logits[k]).item())
        torch.testing.assert_close(gradient[k], slope(reference, logits[k]))


def test_mixup_mixes_each_example_with_the_next_of_its_own_replica() -> None:
    torch.manual_seed(0)
    x, targets, share = torch.rand(K, B, 2, 3), torch.rand(C, K, B), torch.rand(K)
    mixed_x, mixed_targets = mixed(x, targets, share)
    for k in range(K):
        for i in range(B):
            a, j = share[k], (i + 1) % B
            torch.testing.assert_close(mixed_x[k, i], a * x[k, i] + (1 - a) * x[k, j])
            torch.testing.assert_close(
                mixed_targets[:, k, i], a * targets[:, k, i] + (1 - a) * targets[:, k, j]
            )


def test_extreme_logits_stay_finite() -> None:
    logits, labels = batch(scale=1e4)
    for knobs in ({}, {"label_smoothing": 0.1}, {"confidence_penalty": 1.0}, {"relaxloss": 1.0}):
        losses, gradient = ours(Recipe(**knobs), logits, labels, epoch=1)
        assert np.isfinite(losses.numpy()).all()
        assert np.isfinite(gradient.numpy()).all()
