"""Flat buffers, and the written-out dense passes against autograd on each replica alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainables.engine.networks import DenseNetwork, Layout, Network, make_network
from trainables.models import build_model

CPU = torch.device("cpu")


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return -(logits.log_softmax(0) * targets).sum(0)


def test_layout_packs_and_unpacks_weights_apart_from_the_rest() -> None:
    named = {"a": torch.randn(3, 2, 4), "b": torch.randn(3, 5), "c": torch.randn(3, 2, 2, 2)}
    shapes = {"a": (2, 4), "b": (5,), "c": (2, 2, 2)}
    layout = Layout(shapes)
    packed = layout.pack(named)
    assert {g: tuple(t.shape) for g, t in packed.items()} == {"weights": (3, 1, 16), "rest": (3, 5)}
    for name, tensor in layout.unpack(packed).items():
        assert torch.equal(tensor, named[name])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=3), st.integers(1, 4), st.integers(1, 6), st.integers(1, 7))
def test_written_out_gradients_equal_autograd(hidden: list[int], k: int, batch: int, inputs: int) -> None:
    torch.manual_seed(0)
    modules = [build_model({"name": "mlp", "hidden": hidden}, (inputs,), 3) for _ in range(k)]
    network = make_network(modules[0], CPU)
    assert isinstance(network, DenseNetwork)
    named = {
        n: torch.stack([dict(m.named_parameters())[n].detach() for m in modules])
        for n in network.layout.shapes
    }
    x, targets = torch.randn(k, batch, inputs), torch.rand(3, k, batch).softmax(0)
    share = torch.rand(k, batch)
    params = network.layout.pack(named)
    dense, losses = network.gradient(params, {}, x, targets, share, loss)
    found = network.layout.unpack(dense)
    clipped, _ = network.clipped(params, {}, x, targets, share, loss, 0.1)
    general, same = Network(modules[0], CPU).clipped(params, {}, x, targets, share, loss, 0.1)
    for r, module in enumerate(modules):
        values = loss(module(x[r]).T, targets[:, r])
        torch.testing.assert_close(losses[r], values.detach())
        torch.testing.assert_close(same[r], values.detach())
        expected = torch.autograd.grad((values * share[r]).sum(), list(module.parameters()))
        for (name, _), g in zip(module.named_parameters(), expected, strict=True):
            torch.testing.assert_close(found[name][r], g, rtol=1e-4, atol=1e-6)
    for group in clipped:
        torch.testing.assert_close(clipped[group], general[group], rtol=1e-4, atol=1e-6)


class Own(nn.Linear):
    """Another computation than its parent's."""


TWICE = nn.Linear(3, 3)


@pytest.mark.parametrize(
    ("module", "fits"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), True),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), True),
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU()), False),
        (nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), False),
        (nn.Sequential(nn.Linear(4, 3, bias=False)), False),
        (nn.Sequential(), False),
        (nn.Linear(4, 2), False),
        (nn.Sequential(Own(4, 2)), False),
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), TWICE, nn.ReLU(), TWICE), False),
        (nn.Sequential(nn.Linear(4, 3).requires_grad_(False), nn.ReLU(), nn.Linear(3, 2)), False),
    ],
)
def test_only_plain_dense_networks_are_written_out(module: nn.Module, fits: bool) -> None:
    assert DenseNetwork.fits(module) is fits
