"""Differential privacy: clipping against Opacus' per-example gradients, noise by its moments, epsilon by
closed forms."""

from __future__ import annotations

import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from opacus import GradSampleModule
from opacus.accountants import PRVAccountant, RDPAccountant
from scipy.optimize import brentq
from scipy.stats import norm
from torch import nn

from trainables import Recipe, train_replicas
from trainables.engine.networks import make_network
from trainables.engine.task import make_task
from trainables.errors import UserError
from trainables.optimizers.gradient_rules import Params, Step
from trainables.optimizers.losses import objective
from trainables.optimizers.noise import DRAWS
from trainables.optimizers.privacy import epsilon, make_definite
from trainables.optimizers.registry import Optimizer
from trainables.optimizers.update_rules import UpdateRule, update_rule

DPSGD = {"optimizer": "dpsgd", "clip": 0.5, "noise_multiplier": 1.5, "batch_size": 8}
DPSAM = DPSGD | {"optimizer": "dpsam", "rho": 0.3}


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 7), nn.ReLU(), nn.Linear(7, 3))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


@pytest.mark.parametrize("build", [mlp, convolutional])
@pytest.mark.parametrize("clip", [0.05, 0.5, 50.0])
def test_clipped_gradients_equal_opacus(build, clip: float) -> None:
    torch.manual_seed(0)
    modules, x = [build() for _ in range(2)], torch.randn(2, 9, 1, 4, 4)
    y = torch.randint(3, (2, 9))
    network = make_network(build(), torch.device("cpu"))
    stacked = {
        n: torch.stack([dict(m.named_parameters())[n].detach() for m in modules])
        for n in network.layout.shapes
    }
    targets = nn.functional.one_hot(y, 3).movedim(-1, 0).float()
    share = torch.full((2, 9), 1 / 8)
    ours, _ = network.clipped(
        network.layout.pack(stacked), {}, x, targets, share, objective(Recipe(label_smoothing=0.1)), clip
    )
    named = network.layout.unpack(ours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k, module in enumerate(modules):
            sampled = GradSampleModule(module, loss_reduction="sum")
            loss = nn.functional.cross_entropy(sampled(x[k]), y[k], label_smoothing=0.1, reduction="sum")
            loss.backward()
            each = {n: p.grad_sample for n, p in module.named_parameters()}
            norms = torch.stack([g.flatten(1).norm(dim=1) for g in each.values()]).norm(dim=0)
            factor = (clip / norms).clamp(max=1.0)
            for name, g in each.items():
                expected = torch.einsum("b,b...->...", factor, g) / 8
                torch.testing.assert_close(named[name][k], expected, rtol=1e-4, atol=1e-6)


def zeros(params):
    return {name: torch.zeros_like(p) for name, p in params.items()}


def test_noise_has_the_deviation_that_the_accountant_assumes() -> None:
    rule = update_rule(Recipe(**DPSGD, momentum=0, weight_decay=0))
    params = {"w": torch.zeros(3, 200, 300)}
    moved, _ = rule.step(params, rule.init(params), zeros, lr=1.0)
    assert moved["w"].std().item() == pytest.approx(1.5 * 0.5 / 8, rel=0.01)


def test_dpsam_climbs_along_a_noised_gradient_and_noises_the_second_anew() -> None:
    seen = []

    def gradient(params):
        seen.append(params["w"].clone())
        return zeros(params)

    rule = update_rule(Recipe(**DPSAM, momentum=0, weight_decay=0))
    params = {"w": torch.zeros(2, 50, 60)}
    moved, _ = rule.step(params, rule.init(params), gradient, lr=1.0)
    assert len(seen) == 2
    torch.testing.assert_close(seen[1].flatten(1).norm(dim=1), torch.full((2,), 0.3))
    for k in range(2):
        first, second = seen[1][k].flatten(), moved["w"][k].flatten()
        assert second.std().item() == pytest.approx(1.5 * 0.5 / 8, rel=0.05)
        assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1].item()) < 0.08


def thrice(step: Step) -> Params:
    """A private rule that takes a gradient more than its registry entry says."""
    for _ in range(2):
        step.gradient()
    return step.gradient()


def often(step: Step) -> Params:
    """A rule that draws more than a step may."""
    g = step.gradient()
    for _ in range(DRAWS + 1):
        g = step.noised(g, 1.0)
    return g


def test_gradients_beyond_what_privacy_is_accounted_for_are_refused() -> None:
    params = {"w": torch.zeros(1, 2, 3)}
    for passes in (2, 3):
        rule = UpdateRule(Recipe(**DPSGD), Optimizer(thrice, passes=passes, private=True))
        refused = pytest.raises(UserError, match="3 gradients in a step, and privacy is accounted for 2")
        with refused if passes == 2 else nullcontext():
            rule.step(params, rule.init(params), zeros, lr=1.0)


def test_a_draw_that_would_be_the_next_steps_is_refused() -> None:
    params = {"w": torch.zeros(1, 2, 3)}
    rule = UpdateRule(Recipe(), Optimizer(often))
    with pytest.raises(UserError, match=r"draws random tensors 9 times; expected at most 8$"):
        rule.step(params, rule.init(params), zeros, lr=1.0)


def opacus(noise: float, rate: float, steps: int, delta: float, kind: type = RDPAccountant) -> float:
    accountant = kind()
    if kind is RDPAccountant:
        for _ in range(steps):
            accountant.step(noise_multiplier=noise, sample_rate=rate)
    else:
        accountant.history = [(noise, rate, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return accountant.get_epsilon(delta=delta)


def test_dpsgd_spends_what_opacus_counts() -> None:
    recipe, guarantee = make_definite(Recipe(**DPSGD), size=100, steps=250)
    assert guarantee.epsilon == pytest.approx(opacus(1.5, 0.08, 250, 1e-5), rel=1e-12)
    assert guarantee.delta == 1e-5
    assert recipe == Recipe(**DPSGD)


def test_dpsam_pays_for_both_gradients_of_a_step() -> None:
    spent = make_definite(Recipe(**DPSAM), size=100, steps=250)[1].epsilon
    assert spent == pytest.approx(opacus(1.5 / 2**0.5, 0.08, 250, 1e-5), rel=1e-12)
    assert spent > 1.3 * make_definite(Recipe(**DPSGD), size=100, steps=250)[1].epsilon


def test_epsilon_bounds_a_tighter_accountant_from_above() -> None:
    tight, ours = opacus(1.0, 0.1, 200, 1e-5, PRVAccountant), epsilon(1.0, 0.1, 200, 1e-5)
    assert tight <= ours <= 1.2 * tight


@pytest.mark.parametrize(("knobs", "releases"), [(DPSGD, 1), (DPSAM, 2)])
def test_without_sampling_epsilon_bounds_the_exact_gaussian_one(knobs: dict, releases: int) -> None:
    """Full batches: the whole run is one Gaussian mechanism, whose epsilon is exact (Balle and Wang 2018,
    theorem 8)."""
    steps = 30
    mu = np.sqrt(releases * steps) / 1.5
    exact = brentq(
        lambda e: norm.cdf(mu / 2 - e / mu) - np.exp(e + norm.logcdf(-mu / 2 - e / mu)) - 1e-5, 0.1, 500
    )
    _, guarantee = make_definite(Recipe(**knobs | {"batch_size": 64}), size=40, steps=steps)
    assert exact <= guarantee.epsilon <= 1.1 * exact


@pytest.mark.parametrize("knobs", [DPSGD, DPSAM])
@pytest.mark.parametrize("target", [1.0, 8.0])
def test_a_target_epsilon_is_met_and_not_by_far(knobs: dict, target: float) -> None:
    recipe = Recipe(**{k: v for k, v in knobs.items() if k != "noise_multiplier"}, target_epsilon=target)
    definite, guarantee = make_definite(recipe, size=100, steps=250)
    assert definite.noise_multiplier is not None
    assert 0.99 * target <= guarantee.epsilon <= target


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    recipe, guarantee = make_definite(Recipe(**DPSGD | {"batch_size": 500}), size=100, steps=10)
    assert recipe.batch_size == 100
    assert guarantee.epsilon == pytest.approx(opacus(1.5, 1.0, 10, 1e-5))


def test_an_unreachable_target_says_so() -> None:
    with pytest.raises(UserError, match="target_epsilon 1e-09 cannot be had"):
        make_definite(Recipe(optimizer="dpsgd", clip=1, target_epsilon=1e-9), size=100, steps=250)


def test_rules_without_privacy_promise_none() -> None:
    recipe = Recipe(noise=5)
    assert make_definite(recipe, 100, 10)[0] is recipe
    assert make_definite(recipe, 100, 10)[1].epsilon == float("inf")
    assert make_definite(recipe, 100, 10)[1].delta == 0


def test_records_of_private_training_hold_epsilon_and_the_recipe_as_given() -> None:
    data = {"name": "digits", "train_size": 60, "test_size": 20}
    recipe = Recipe(optimizer="dpsam", rho=0.05, clip=1, target_epsilon=8, epochs=2, batch_size=10)
    record = train_replicas(recipe, data, "mlp", [0, 1], stack=2)
    expected = make_definite(recipe, 30, 6)[1].epsilon
    np.testing.assert_array_equal(record.epsilon, [expected, expected])
    np.testing.assert_array_equal(record.delta, [1e-5, 1e-5])
    assert record.recipe == recipe.knobs
    assert np.isfinite(record.test.margin).all()


@pytest.mark.parametrize("delta", [1e-2, 1e-3])
def test_a_delta_that_gives_an_example_away_is_said(delta: float) -> None:
    data = {"name": "digits", "train_size": 400, "test_size": 50}
    recipe = Recipe(**DPSGD, delta=delta)
    told = pytest.warns(
        UserWarning, match="delta 0.01 lets one of a replica's 200 examples be given away whole"
    )
    with told if delta > 1 / 200 else nullcontext():
        make_task(recipe, data, {"name": "mlp", "hidden": [4]})


def test_batch_norm_is_refused_with_the_remedy() -> None:
    data = {"name": "digits", "train_size": 60, "test_size": 20}
    with pytest.raises(UserError, match=r"BatchNorm2d.*cannot be private; use norm: group"):
        train_replicas(Recipe(**DPSGD, epochs=1), data, {"name": "cnn", "norm": "batch"}, [0], stack=1)
