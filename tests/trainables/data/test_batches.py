"""The batches of an epoch: every member as often as it should be, whoever walks through them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from scipy import stats

from trainables import Recipe
from trainables.data.batches import Sampler, Streams
from trainables.data.dataset import Dataset, load_dataset
from trainables.data.device_data import DeviceData
from trainables.seeding import stream

N, SEEDS = 60, (3, 8, 11)
MEMBERS = np.random.default_rng(0).permuted(np.tile(np.arange(N) < 30, (len(SEEDS), 1)), axis=1)
PRIVATE = {"optimizer": "dpsgd", "clip": 1.0, "noise_multiplier": 1.0}


@pytest.fixture(scope="module")
def data() -> DeviceData:
    """Images whose every pixel is the number of their row."""
    x = np.broadcast_to(np.arange(N, dtype=np.float32)[:, None, None, None], (N, 1, 2, 2)).copy()
    y = np.arange(N) % 10
    plain = vars(load_dataset({"name": "digits", "train_size": N}))
    return DeviceData(
        Dataset(**{**plain, "x_train": x, "y_train": y, "x_test": x, "y_test": y}), torch.device("cpu")
    )


def streams_of(seeds: Iterable[int]) -> Streams:
    return lambda purpose: [stream(0, seed, purpose) for seed in seeds]


def epoch(
    sampler: Sampler, number: int, members: np.ndarray = MEMBERS, seeds: Iterable[int] = SEEDS
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The batches of one epoch."""
    sizes = sampler.load(sampler.draw(number, members, streams_of(seeds)))
    return [sampler.next(size) for size in sizes]


def rows_of(x: torch.Tensor) -> np.ndarray:
    return x[..., 0, 0, 0].long().numpy()


@pytest.mark.parametrize("host", [True, False])
def test_every_member_is_in_one_batch_of_an_epoch(data: DeviceData, host: bool) -> None:
    sampler = Sampler(Recipe(batch_size=8), data, 3, 30, host=host)
    orders = []
    for number in range(2):
        batches = epoch(sampler, number)
        assert [x.shape[1] for x, _, _ in batches] == [8, 8, 7, 7]
        rows = np.concatenate([rows_of(x) for x, _, _ in batches], axis=1)
        for k in range(3):
            assert sorted(rows[k]) == np.flatnonzero(MEMBERS[k]).tolist()
        orders.append(rows)
        for x, targets, share in batches:
            np.testing.assert_array_equal(targets.argmax(0), rows_of(x) % 10)
            np.testing.assert_allclose(targets.sum(0), 1)
            np.testing.assert_allclose(share.sum(1), 1, rtol=1e-6)
    assert (orders[0] != orders[1]).any(), "another epoch, another order"


@pytest.mark.parametrize(
    "knobs", [{}, {"mixup": 0.4}, {"augment": ("flip", "crop:1", "cutout:1")}, PRIVATE], ids=str
)
def test_host_and_device_walk_through_the_same_batches(data: DeviceData, knobs: dict) -> None:
    recipe = Recipe(batch_size=8, **knobs)
    walks = [epoch(Sampler(recipe, data, 3, 30, host=host), 5) for host in (True, False)]
    for one, other in zip(*walks, strict=True):
        assert all(map(torch.equal, one, other))


@pytest.mark.parametrize("knobs", [{}, {"mixup": 0.4, "augment": ("crop:1",)}], ids=str)
def test_a_replica_draws_as_it_would_alone(data: DeviceData, knobs: dict) -> None:
    recipe = Recipe(batch_size=8, **knobs)
    together = epoch(Sampler(recipe, data, 3, 30), 2)
    alone = epoch(Sampler(recipe, data, 1, 30), 2, MEMBERS[1:2], SEEDS[1:2])
    for (x, targets, share), (x_alone, targets_alone, share_alone) in zip(together, alone, strict=True):
        assert torch.equal(x[1], x_alone[0])
        assert torch.equal(targets[:, 1], targets_alone[:, 0])
        assert torch.equal(share[1], share_alone[0])


@pytest.mark.parametrize(("count", "twice"), [(24, 6), (30, 0), (36, 0)])
def test_of_more_members_some_are_left_out_and_of_fewer_some_come_twice(
    data: DeviceData, count: int, twice: int
) -> None:
    members = np.arange(N)[None] < count
    rows = np.concatenate(
        [rows_of(x)[0] for x, _, _ in epoch(Sampler(Recipe(batch_size=8), data, 1, 30), 0, members, [5])]
    )
    often = np.bincount(rows, minlength=count)
    assert len(rows) == 30
    assert not often[count:].any()
    if count <= 30:
        assert often.min() == 1
    assert often.sum() - np.count_nonzero(often) == twice


def test_poisson_batches_take_every_member_by_a_coin_of_its_own(data: DeviceData) -> None:
    sampler = Sampler(Recipe(batch_size=8, **PRIVATE), data, 3, 30)
    taken = []
    for number in range(60):
        for x, _, share in epoch(sampler, number):
            real = share > 0
            np.testing.assert_allclose(share[real], 1 / 8)
            rows = rows_of(x)
            taken.append([np.bincount(rows[k][real[k]], minlength=N) for k in range(3)])
    often = np.array(taken)  # [batches, K, N]
    assert often.max() == 1, "no example twice in a batch"
    assert not often[:, ~MEMBERS].any()
    coins = often[:, MEMBERS]
    assert stats.binomtest(int(coins.sum()), coins.size, 8 / 30).pvalue > 1e-4
    sizes = coins.reshape(len(coins), 3, 30).sum(2).ravel()
    assert sizes.var() == pytest.approx(30 * (8 / 30) * (22 / 30), rel=0.2)


def test_no_label_is_mixed_with_another_image_than_its_own(data: DeviceData) -> None:
    """Of images that are their row's number, a mixture tells its shares."""
    sampler = Sampler(Recipe(batch_size=2, mixup=1.0), data, 1, 2)
    members = np.zeros((1, N), bool)
    members[0, [10, 41]] = True  # of classes 0 and 1
    shares = []
    for number in range(20):
        ((x, targets, _),) = epoch(sampler, number, members, [5])
        of_41 = (x[0, :, 0, 0, 0] - 10) / 31
        torch.testing.assert_close(targets[1, 0], of_41, atol=1e-5, rtol=0)
        torch.testing.assert_close(targets[0, 0], 1 - of_41, atol=1e-5, rtol=0)
        shares.append(float(of_41.max()))
    assert np.std(shares) > 0.05, "each step has a share of its own"
