"""Update rules as training calls them: state, noise, averages, what they leave alone and what they refuse."""

from __future__ import annotations

import pytest
import torch

from trainables import Recipe
from trainables.errors import UserError
from trainables.optimizers.registry import OPTIMIZERS
from trainables.optimizers.update_rules import update_rule


def quadratic(params):
    return {name: p.clone() for name, p in params.items()}


def some_params(replicas: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"a.weight": torch.randn(replicas, 60, 50), "a.bias": torch.randn(replicas, 60)}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_step_leaves_its_arguments_alone_and_keeps_no_hidden_state(name: str) -> None:
    knobs = {"optimizer": name, "noise": 1.0}
    knobs |= dict.fromkeys(OPTIMIZERS[name].needs, 0.1)
    knobs |= {"noise_multiplier": 1.0} if OPTIMIZERS[name].private else {}
    knobs |= {"gamma": 1.0} if name == "esam" else {}
    rule, params = update_rule(Recipe(**knobs)), some_params()
    state = rule.init(params)
    params, state = rule.step(params, state, quadratic, lr=0.1)
    before = {
        **{f"p {n}": t.clone() for n, t in params.items()},
        **{f"s {n}": t.clone() for n, t in state.items()},
    }
    first, _ = rule.step(params, state, quadratic, lr=0.1)
    second, _ = rule.step(params, state, quadratic, lr=0.1)
    after = {**{f"p {n}": t for n, t in params.items()}, **{f"s {n}": t for n, t in state.items()}}
    assert all(torch.equal(before[n], after[n]) for n in before)
    assert all(torch.equal(first[n], second[n]) for n in first)


def test_a_constant_gradient_tensor_is_never_written_to() -> None:
    constant = {"w": torch.ones(2, 3, 4)}
    for knobs in (
        {},
        {"optimizer": "asam", "rho": 1.0},
        {"noise": 1.0},
        {"optimizer": "esam", "rho": 1.0, "gamma": 1},
    ):
        rule = update_rule(Recipe(**knobs))
        params = {"w": torch.randn(2, 3, 4)}
        rule.step(params, rule.init(params), lambda _: constant, lr=0.1)
        assert torch.equal(constant["w"], torch.ones(2, 3, 4))


def test_a_zero_gradient_gives_no_nan() -> None:
    for name, optimizer in OPTIMIZERS.items():
        knobs = {"optimizer": name, **dict.fromkeys(optimizer.needs, 0.1)}
        knobs |= {"noise_multiplier": 1.0} if optimizer.private else {}
        knobs |= {"gamma": 1.0} if name == "esam" else {}
        rule, params = update_rule(Recipe(**knobs)), some_params()
        state = rule.init(params)
        for _ in range(2):
            params, state = rule.step(
                params, state, lambda p: {n: torch.zeros_like(t) for n, t in p.items()}, lr=0.1
            )
        assert all(torch.isfinite(p).all() for p in params.values()), name


def noise_of(seeds: list[int], steps: int, sigma: float = 2.0) -> list[torch.Tensor]:
    """The noise alone: what a gradient of 0 moves by at lr 1."""
    rule = update_rule(Recipe(noise=sigma, momentum=0, weight_decay=0))
    params = {n: torch.zeros_like(p) for n, p in some_params(len(seeds)).items()}
    state, out = rule.init(params, seeds), []
    for _ in range(steps):
        moved, state = rule.step(
            params, state, lambda p: {n: torch.zeros_like(t) for n, t in p.items()}, lr=1.0
        )
        out.append(torch.cat([t.flatten(1) for t in moved.values()], 1))
    return out


def test_noise_is_gaussian_of_norm_sigma_over_all_parameters() -> None:
    values = torch.stack(noise_of([5, 9], 20))
    d = values.shape[-1]
    assert values.std().item() == pytest.approx(2 / d**0.5, rel=0.01)
    assert values.norm(dim=-1).mean().item() == pytest.approx(2, rel=0.01)
    standard = (values * d**0.5 / 2).flatten()
    assert (standard.abs() < 1).double().mean().item() == pytest.approx(0.6827, abs=0.005)
    correlation = torch.corrcoef(values.flatten(0, 1))
    assert (
        correlation - torch.eye(len(correlation))
    ).abs().max() < 0.1  # neither replicas nor steps share noise


def test_noise_depends_on_a_replicas_own_seed_alone() -> None:
    together, alone = noise_of([5, 9, 7], 2), noise_of([9], 2)
    assert all(torch.equal(a[1], b[0]) for a, b in zip(together, alone, strict=True))


def test_esam_perturbs_a_share_beta_of_the_parameters_and_keeps_the_mean() -> None:
    seen = []

    def gradient(params):
        seen.append(torch.cat([p.flatten(1) for p in params.values()], 1))
        return {n: torch.ones_like(p) for n, p in params.items()}

    rule = update_rule(Recipe(optimizer="esam", rho=1.0, beta=0.25, gamma=1))
    params = {n: torch.zeros_like(p) for n, p in some_params(4).items()}
    rule.step(params, rule.init(params), gradient, lr=0.1)
    d = seen[1].shape[1]
    moved = seen[1] != 0
    assert moved.double().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.allclose(seen[1][moved], torch.tensor(d**-0.5 / 0.25))


def test_swa_averages_the_epochs_last_weights_from_its_start_on() -> None:
    rule = update_rule(Recipe(optimizer="swa", swa_start=0.5, epochs=4))
    params = some_params()
    state, ends = rule.init(params), []
    for epoch in range(1, 5):
        rule.step_(params, state, quadratic, lr=0.1)
        rule.end_epoch(params, state, epoch / 4)
        ends.append({n: p.clone() for n, p in params.items()})
    final = rule.final(params, state)
    for name in params:
        torch.testing.assert_close(final[name], (ends[2][name] + ends[3][name]) / 2)


def test_rules_without_average_end_with_the_last_weights() -> None:
    rule, params = update_rule(Recipe()), some_params()
    state = rule.init(params)
    rule.end_epoch(params, state, 1.0)
    assert rule.final(params, state) is params
    assert not rule.averages


def test_rules_that_look_into_the_batch_say_so() -> None:
    params = some_params()
    for knobs in ({"optimizer": "sam", "rho": 0.1, "m": 2}, {"optimizer": "esam", "rho": 0.1}):
        rule = update_rule(Recipe(**knobs))
        with pytest.raises(UserError, match="needs a grad_fn with 'size', 'losses' and 'select'"):
            rule.step(params, rule.init(params), quadratic, lr=0.1)
