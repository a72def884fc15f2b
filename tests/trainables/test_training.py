"""Blocks of replicas: their bits, their records, their unfinished state, and what is refused."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainables import Recipe, train_replicas
from trainables.data.dataset import Dataset, load_dataset
from trainables.engine.stack import Stack
from trainables.engine.task import make_task
from trainables.errors import UserError
from trainables.optimizers.schedule import learning_rate
from trainables.records import FLOAT_SIGNALS, Record

SMALL = {"name": "digits", "train_size": 160, "test_size": 50}
MLP = {"name": "mlp", "hidden": [16]}
NORMED = {"name": "cnn", "width": 4, "norm": "batch"}


def same(a: Record, b: Record) -> bool:
    sides = [(a.train, b.train), (a.test, b.test)]
    signals = all(np.array_equal(getattr(x, n), getattr(y, n)) for x, y in sides for n in FLOAT_SIGNALS)
    return signals and np.array_equal(a.members, b.members) and np.array_equal(a.final_loss, b.final_loss)


def test_the_same_block_gives_the_same_bits() -> None:
    recipe = Recipe(epochs=2, optimizer="sam", rho=0.1, noise=0.5)
    records = [train_replicas(recipe, SMALL, MLP, range(4), stack=2) for _ in range(2)]
    assert same(*records)


class Crash(Exception):
    pass


class Saved:
    """Progress in memory that stops training at its n-th save."""

    every = 0.0

    def __init__(self, crash_at: int) -> None:
        self.left, self.arrays = crash_at, None

    def load(self) -> dict[str, np.ndarray] | None:
        return self.arrays

    def save(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.left -= 1
        if self.left == 0:
            raise Crash


@pytest.mark.parametrize("crash_at", [1, 4])
@pytest.mark.parametrize(
    ("recipe", "model"),
    [
        ({"optimizer": "sam", "rho": 0.1, "noise": 0.5}, MLP),
        ({"optimizer": "swa", "swa_start": 0.2}, NORMED),
        ({"base": "adamw", "lr": 0.01}, MLP),
        ({"optimizer": "fsam", "rho": 0.1, "augment": ("flip",)}, NORMED),
    ],
)
def test_training_goes_on_from_saved_progress_bit_for_bit(
    recipe: dict[str, Any], model: dict[str, Any], crash_at: int
) -> None:
    def train(progress: Saved | None) -> Record:
        return train_replicas(Recipe(epochs=3, **recipe), SMALL, model, range(4), stack=2, progress=progress)

    progress = Saved(crash_at)
    with pytest.raises(Crash):
        train(progress)
    assert all(isinstance(a, np.ndarray) and a.dtype != object for a in (progress.arrays or {}).values())
    resumed = train(progress)
    assert same(resumed, train(None))
    assert (resumed.epochs == 3).all()


def test_memory_does_not_grow_with_epochs_or_replicas() -> None:
    def tensors() -> tuple[int, int]:
        gc.collect()
        alive = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
        return len(alive), sum(t.numel() for t in alive)

    task = make_task(Recipe(epochs=50, optimizer="sam", rho=0.1), SMALL, MLP)
    stack = Stack(task, range(4))
    stack.train_epoch()
    before = tensors()
    for _ in range(5):
        stack.train_epoch()
    assert tensors() == before
    del stack
    counts = []
    for first in (0, 4, 8):
        Stack(task, range(first, first + 4)).train_epoch()
        counts.append(tensors())
    assert counts[0] == counts[1] == counts[2]


def test_a_record_holds_what_the_trained_replicas_say() -> None:
    data = load_dataset(SMALL)
    record = train_replicas(Recipe(epochs=8), data, NORMED, [0, 1, 2, 3], stack=2, queries=2)
    assert record.members.sum(axis=0).tolist() == [2] * 160
    assert record.train.margin.shape == (4, 2, 160)
    assert record.test.correct.shape == (4, 2, 50)
    mirrored = Dataset(
        **{**vars(data), "x_train": data.x_train[..., ::-1].copy(), "x_test": data.x_test[..., ::-1].copy()}
    )
    task = make_task(Recipe(epochs=8), data, NORMED)
    stack = Stack(task, [0, 1])
    for _ in range(8):
        stack.train_epoch()
    looking = Stack(make_task(Recipe(epochs=8), mirrored, NORMED), [0, 1])
    looking.params, looking.buffers = stack.params, stack.buffers
    np.testing.assert_allclose(record.train.margin[:2, 1], looking.results()["train_margin"][:, 0], atol=1e-4)
    inside = record.train.correct[:, 0]
    expected = [inside[k][record.members[k]].mean() for k in range(4)]
    np.testing.assert_allclose(record.train_accuracy, expected)
    assert (record.seconds > 0).all()
    assert np.isinf(record.epsilon).all()


@pytest.mark.parametrize("optimizer", [{}, {"optimizer": "dpsgd", "clip": 1, "noise_multiplier": 1}])
def test_replicas_may_differ_in_how_many_canaries_they_train_on(optimizer: dict[str, Any]) -> None:
    """The stack is in lockstep all the same, and a replica does not depend on it."""
    data, subsets = {**SMALL, "canaries": 40}, {"scheme": "canaries"}
    recipe = Recipe(epochs=2, **optimizer)
    together = train_replicas(recipe, data, MLP, range(6), subsets=subsets, stack=6)
    alone = train_replicas(recipe, data, MLP, [4], subsets=subsets, stack=1)
    counts = together.members.sum(axis=1)
    assert len(set(counts)) > 1
    outside = np.delete(together.members, together.canaries, axis=1)
    assert outside.all()
    np.testing.assert_array_equal(together.members[4], alone.members[0])
    np.testing.assert_allclose(together.train.margin[4], alone.train.margin[0], rtol=1e-3, atol=1e-3)


def test_early_stopping_ends_under_the_schedule_of_all_epochs() -> None:
    record = train_replicas(Recipe(epochs=5, early_stopping=0.5), SMALL, MLP, [0])
    assert record.epochs.tolist() == [3]
    recipe = Recipe(lr=0.2, warmup=0.25)
    rates = [learning_rate(recipe, step, 8) for step in range(8)]
    torch_rates = []
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.2)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
    for _ in range(6):
        torch_rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    np.testing.assert_allclose(rates, [0.1, 0.2, *torch_rates])


def test_running_out_of_memory_halves_the_stack_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    widths, train = [], Stack.train_epoch

    def short_of_memory(self: Stack, limit: int | None = None) -> None:
        widths.append(len(self.seeds))
        if len(self.seeds) > limit_of_this_device:
            raise torch.OutOfMemoryError("CUDA out of memory")
        train(self, limit)

    monkeypatch.setattr(Stack, "train_epoch", short_of_memory)
    limit_of_this_device = 2
    with pytest.warns(UserWarning, match="training 2 replicas at a time from now on"):
        record = train_replicas(Recipe(epochs=1), SMALL, MLP, range(5), stack=4)
    assert widths == [4, 2, 2, 1]
    assert record.seeds.tolist() == [0, 1, 2, 3, 4]
    widths.clear()
    limit_of_this_device = 1
    with pytest.warns(UserWarning, match="out of memory") as said:
        train_replicas(Recipe(epochs=1), SMALL, MLP, range(5), stack=4)
    assert widths == [4, 2, 1, 1, 1, 1, 1]
    assert [str(w.message).split()[4] for w in said] == ["2", "1"]
    limit_of_this_device = 0
    with pytest.raises(torch.OutOfMemoryError), pytest.warns(UserWarning, match="out of memory"):
        train_replicas(Recipe(epochs=1), SMALL, MLP, range(5), stack=4)


@pytest.mark.parametrize("broken", ["missing", "shape", "seeds", "name"])
def test_saved_progress_that_does_not_fit_counts_as_none_and_says_so(broken: str) -> None:
    def train(progress: Saved | None) -> Record:
        recipe = Recipe(optimizer="sam", rho=0.1, epochs=2)
        return train_replicas(recipe, SMALL, MLP, range(2), stack=2, progress=progress)

    progress, weights = Saved(1), "unfinished/params/weights"
    with pytest.raises(Crash):
        train(progress)
    assert progress.arrays is not None
    if broken == "missing":
        del progress.arrays[weights]
    elif broken == "shape":
        progress.arrays[weights] = progress.arrays[weights][:1]
    elif broken == "seeds":
        progress.arrays["unfinished/state/seeds"] = progress.arrays["unfinished/state/seeds"][::-1]
    else:
        progress.arrays["unfinished/0/params/weights"] = progress.arrays.pop(weights)
    with pytest.warns(UserWarning, match="saved progress is of other replicas: 2 start anew"):
        assert same(train(progress), train(None))


def test_running_out_of_memory_while_going_on_from_saved_progress_starts_a_smaller_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(stack: int, progress: Saved | None = None) -> Record:
        return train_replicas(Recipe(epochs=2), SMALL, MLP, range(4), stack=stack, progress=progress)

    progress, init = Saved(1), Stack.__init__
    with pytest.raises(Crash):
        train(4, progress)

    def short_of_memory(self: Stack, task: Any, seeds: Any, *rest: Any) -> None:
        if len(seeds) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        init(self, task, seeds, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Stack, "__init__", short_of_memory)
        with pytest.warns(UserWarning, match="out of memory: training 2 replicas") as said:
            record = train(4, progress)
    assert len(said) == 1
    assert same(record, train(2))


@pytest.mark.parametrize("lr", [1e6, 1e8])
def test_a_diverged_replica_is_named_and_never_recorded(lr: float) -> None:
    """In the loss of an epoch, or only in the logits of the trained replica."""
    recipe = Recipe(epochs=2, lr=lr, momentum=0.99, schedule="constant")
    with pytest.raises(
        UserError, match=r"recipe 'sgd': the replica of seed \d diverged in epoch \d of 2; lower lr"
    ):
        train_replicas(recipe, SMALL, MLP, [0, 1], stack=2)


def test_progress_of_a_block_is_told_once_an_epoch() -> None:
    told: list[float] = []
    train_replicas(
        Recipe(epochs=2), SMALL, MLP, range(4), stack=2, on_epoch=lambda done, _: told.append(done)
    )
    assert told == [1, 2, 3, 4]


def dropping(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(int(np.prod(shape)), 8), nn.Dropout(0.5), nn.Linear(8, classes)
    )


def dropping_before_norm(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(*dropping(shape, 8), nn.BatchNorm1d(8), nn.Linear(8, classes))


class Functional(nn.Module):
    """Dropout that is no module of its own."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(nn.functional.dropout(x.flatten(1), 0.5, self.training))


def functional(shape: tuple[int, ...], classes: int) -> nn.Module:
    return Functional(int(np.prod(shape)), classes)


def half_frozen(shape: tuple[int, ...], classes: int) -> nn.Module:
    first = nn.Linear(int(np.prod(shape)), 8).requires_grad_(False)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(8, classes))


@pytest.mark.parametrize(
    ("optimizer", "model"), [("sgd", "dropping"), ("swa", "dropping_before_norm"), ("sgd", "functional")]
)
def test_dropout_follows_each_replica_own_seed(optimizer: str, model: str) -> None:
    recipe, model = Recipe(optimizer=optimizer, epochs=1), f"{__name__}:{model}"
    block = train_replicas(recipe, SMALL, model, [0, 1], stack=1)
    alone = train_replicas(recipe, SMALL, model, [1], stack=1)
    assert np.array_equal(block.train.margin[1], alone.train.margin[0])


@pytest.mark.parametrize("k", [1, 2])
def test_parameters_that_require_no_gradient_stay_as_they_were(k: int) -> None:
    stack = Stack(make_task(Recipe(epochs=1), SMALL, f"{__name__}:half_frozen"), range(k))
    before = [stack.task.module(seed).state_dict() for seed in range(k)]
    stack.train_epoch()
    named = stack.network.layout.unpack(stack.params)
    assert set(named) == {"3.weight", "3.bias"}
    for seed in range(k):
        assert torch.equal(stack.buffers["1.weight"][seed], before[seed]["1.weight"])
        assert not torch.equal(named["3.weight"][seed], before[seed]["3.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stack": 0}, "stack 0: expected 'auto' or a whole number"),
        ({"stack": 2, "model": f"{__name__}:dropping"}, "has dropout, which needs stack 1"),
        ({"stack": 2, "model": f"{__name__}:functional"}, "has dropout, which needs stack 1"),
        ({"device": "gpu"}, "device 'gpu' is not known; expected 'cpu', 'cuda' or"),
        ({"seeds": []}, "seeds ..: expected at least one"),
        ({"seeds": [0, -1]}, "seeds .0, -1.: expected at least one, and none below 0"),
    ],
)
def test_what_cannot_be_had_is_refused(change: dict[str, Any], message: str) -> None:
    given = {"recipe": Recipe(epochs=1), "dataset": SMALL, "model": MLP, "seeds": [0, 1], **change}
    with pytest.raises(UserError, match=message) as error:
        train_replicas(**given)
    assert "\n" not in str(error.value)
