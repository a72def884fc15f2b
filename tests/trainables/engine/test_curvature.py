"""Input-loss curvature against the Hessian itself, and its way into records and proxies."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from analysis.audit.proxies import proxy_table
from analysis.ensemble import ensemble_of
from trainables import Recipe, train_replicas
from trainables.engine.curvature import draw_directions, input_curvature
from trainables.engine.networks import DenseNetwork, Network, make_network
from trainables.errors import UserError
from trainables.records import Address, Context, Record, RecordError, RecordFile, content_id, write_record
from trainables.storage import Store

SMALL = {"name": "digits", "train_size": 160, "test_size": 50}
MLP = {"name": "mlp", "hidden": [32]}
EVERY = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)))


def found(
    modules: list[nn.Sequential], x: torch.Tensor, y: torch.Tensor, kind: type[Network]
) -> torch.Tensor:
    network = make_network(modules[0], torch.device("cpu"))
    assert type(network) is kind
    each = [dict(m.named_parameters()) for m in modules]
    named = {name: torch.stack([p[name].detach() for p in each]) for name in each[0]}
    return input_curvature(network, named, {}, x, y, EVERY)


def test_of_a_softmax_regression_is_the_closed_form() -> None:
    """H = W'(diag p - pp')W; all Rademacher vectors together give the trace of its square exactly."""
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(4, 3)) for _ in range(3)]
    x, y = torch.randn(7, 4), torch.randint(0, 3, (7,))
    values = found(models, x, y, DenseNetwork).numpy()
    for model, row in zip(models, values, strict=True):
        w, p = model[0].weight.detach().double(), model(x).softmax(-1).detach().double()
        hessians = w.T @ (torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) @ w
        np.testing.assert_allclose(row, hessians.square().sum((1, 2)), rtol=0.01)


@pytest.mark.parametrize("replicas", [1, 3])
def test_of_a_network_is_autograds_hessian(replicas: int) -> None:
    torch.manual_seed(1)
    models = [nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)) for _ in range(replicas)]
    x, y = torch.randn(6, 4), torch.randint(0, 3, (6,))
    values = found(models, x, y, Network)
    for model, row in zip(models, values, strict=True):
        for value, example, label in zip(row, x, y, strict=True):

            def loss(z: torch.Tensor, model: nn.Module = model, label: torch.Tensor = label) -> torch.Tensor:
                return nn.functional.cross_entropy(model(z), label)

            hessian = torch.autograd.functional.hessian(loss, example)
            assert value.item() == pytest.approx(hessian.square().sum().item(), rel=0.02)


def test_few_directions_estimate_the_trace_without_bias() -> None:
    directions = draw_directions(4000, (4,), 0)
    assert set(directions.flatten().tolist()) == {-1, 1}
    h = torch.randn(4, 4, generator=torch.manual_seed(2))
    assert (directions @ h).square().sum(1).mean().item() == pytest.approx(h.square().sum().item(), rel=0.05)
    assert torch.equal(draw_directions(4000, (4,), 0), directions)
    assert not torch.equal(draw_directions(4000, (4,), 1), directions)


@pytest.fixture(scope="module")
def record() -> Record:
    return train_replicas(Recipe(epochs=8), "digits", MLP, range(16), curvature=4, stack=8)


def test_does_not_depend_on_the_stack(record: Record) -> None:
    assert record.train_curvature is not None
    alone = train_replicas(Recipe(epochs=8), "digits", MLP, [3], curvature=4, stack=1).train_curvature
    assert alone is not None
    np.testing.assert_allclose(alone[0], record.train_curvature[3], rtol=0.02, atol=1e-6)


def test_views_have_their_own() -> None:
    model = {"name": "cnn", "width": 2}
    both = train_replicas(Recipe(epochs=1), SMALL, model, [0, 1], curvature=2, queries=2).train_curvature
    assert both is not None
    assert both.shape == (2, 2, 160)
    assert (both >= 0).all()
    assert not np.allclose(both[:, 0], both[:, 1])


def test_a_record_keeps_it_and_one_without_is_as_before(record: Record, tmp_path: Path) -> None:
    store, recipe_id = Store.at(tmp_path), content_id(record.recipe)
    address = Address(recipe_id, record.context.context_id, 0, 15)
    write_record(store, address, record)
    file = RecordFile(store, address.path)
    file.check()
    np.testing.assert_array_equal(file.read().train_curvature, record.train_curvature)
    plain = train_replicas(Recipe(epochs=1), SMALL, MLP, [0, 1])
    assert "train_curvature" not in plain.arrays()
    write_record(store, Address(recipe_id, plain.context.context_id, 0, 1), plain)
    file = RecordFile(store, Address(recipe_id, plain.context.context_id, 0, 1).path)
    assert file.read().train_curvature is None
    with pytest.raises(RecordError, match="field 'train_curvature' is missing"):
        file["train_curvature"]


def test_addresses_without_it_have_not_moved() -> None:
    context = Context(dataset={"name": "d"}, fingerprint="f", model={"name": "mlp"})
    assert context.context_id == "1997a6f366"
    assert "curvature" not in context.model_dump_json(exclude_none=True)
    assert context.model_copy(update={"curvature": 4}).context_id != context.context_id


def test_ranks_examples_somewhat_like_memorization(record: Record) -> None:
    table = proxy_table(ensemble_of(record)).set_index("against")
    assert table.loc["curvature_of_one_replica", "low"] > 0.2
    plain = train_replicas(Recipe(epochs=1), SMALL, MLP, range(4))
    assert "curvature_of_one_replica" not in set(proxy_table(ensemble_of(plain))["against"])


def test_no_direction_is_refused() -> None:
    with pytest.raises(UserError, match="curvature 0: expected at least 1 direction"):
        train_replicas(Recipe(epochs=1), SMALL, MLP, [0, 1], curvature=0)
