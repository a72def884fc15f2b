"""Lockstep training against plain PyTorch loops, and what must not depend on how replicas are stacked."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainables import Recipe, train_replicas
from trainables.batches import DeviceData
from trainables.datasets import Dataset, load_dataset
from trainables.lockstep import Stack, Task, learning_rate, make_task
from trainables.records import FLOAT_SIGNALS, Record
from trainables.registry import UserError

SMALL = {"name": "digits", "train_size": 160, "test_size": 50}
MLP = {"name": "mlp", "hidden": [16]}
NORMED = {"name": "cnn", "width": 4, "norm": "batch"}
RULES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "sam": {"optimizer": "sam", "rho": 0.1},
    "asam": {"optimizer": "asam", "rho": 0.5, "eta": 0.01},
    "penalty": {"grad_reg": 0.1},
    "sam and penalty": {"optimizer": "sam", "rho": 0.1, "grad_reg": 0.1},
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plain_gradient(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters())))


def moved(model: nn.Module, by: list[torch.Tensor], scale: float) -> None:
    with torch.no_grad():
        for p, d in zip(model.parameters(), by, strict=True):
            p.add_(d, alpha=scale)


def norm(tensors: list[torch.Tensor]) -> float:
    return float(torch.cat([t.flatten() for t in tensors]).norm())


def plain_penalised(model: nn.Module, x: torch.Tensor, y: torch.Tensor, recipe: Recipe) -> list[torch.Tensor]:
    g = plain_gradient(model, x, y)
    if not recipe.grad_reg:
        return g
    r = 0.05
    moved(model, g, r / norm(g))
    with frozen_statistics(model):
        ahead = plain_gradient(model, x, y)
    moved(model, g, -r / norm(g))
    a = recipe.grad_reg / r
    return [(1 - a) * p + a * q for p, q in zip(g, ahead, strict=True)]


class frozen_statistics:
    """Puts BatchNorm's running statistics back as they were."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.before = {name: b.clone() for name, b in self.model.named_buffers()}

    def __exit__(self, *_: object) -> None:
        for name, buffer in self.model.named_buffers():
            buffer.copy_(self.before[name])


def plain_loop(task: Task, stack: Stack, k: int, epochs: int) -> nn.Module:
    """Replica k trained by itself with torch.optim.SGD, from the same weights in the same order."""
    recipe, model = task.recipe, task.module(stack.seeds[k]).train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    x_all = torch.as_tensor(task.dataset.x_train, dtype=torch.float32)
    if task.dataset.x_train.dtype == np.uint8:
        x_all = (x_all - x_all.mean()) / x_all.std(correction=0)
    y_all, number = torch.as_tensor(task.dataset.y_train), 0
    for epoch in range(epochs):
        for rows in (step[k] for step in stack.sampler._shuffled(epoch)):
            x, y = x_all[rows], y_all[rows]
            g = plain_penalised(model, x, y, recipe)
            if recipe.optimizer in ("sam", "asam"):
                scale = [torch.ones_like(p) for p in g]
                if recipe.optimizer == "asam":
                    scale = [
                        p.detach().abs() + recipe.eta if p.ndim > 1 else torch.ones_like(p)
                        for p in model.parameters()
                    ]
                scaled = [s * d for s, d in zip(scale, g, strict=True)]
                step = [s * d for s, d in zip(scale, scaled, strict=True)]
                before = [p.detach().clone() for p in model.parameters()]
                moved(model, step, float(recipe.rho or 0) / norm(scaled))
                with frozen_statistics(model):
                    g = plain_penalised(model, x, y, recipe)
                with torch.no_grad():
                    for p, b in zip(model.parameters(), before, strict=True):
                        p.copy_(b)
            for p, d in zip(model.parameters(), g, strict=True):
                p.grad = d
            optimizer.param_groups[0]["lr"] = learning_rate(
                recipe, number, recipe.epochs * stack.sampler.steps
            )
            optimizer.step()
            number += 1
    return model


@pytest.mark.parametrize("model", [MLP, NORMED], ids=lambda model: model["name"])
@pytest.mark.parametrize("rule", RULES)
def test_a_stack_trains_as_each_replica_would_in_a_plain_loop(rule: str, model: dict[str, Any]) -> None:
    task = make_task(Recipe(epochs=4, batch_size=32, lr=0.05, **RULES[rule]), SMALL, model)
    stack = Stack(task, [3, 4, 8])
    for _ in range(2):
        stack.train_epoch()
    named = stack.network.layout.unpack(stack.params)
    for k in range(3):
        plain = plain_loop(task, stack, k, epochs=2)
        for name, p in plain.named_parameters():
            torch.testing.assert_close(named[name][k], p.detach(), rtol=1e-3, atol=2e-5)
        for name, b in plain.named_buffers():  # running statistics: of the first pass of each step only
            torch.testing.assert_close(stack.buffers[name][k], b, rtol=1e-3, atol=2e-5)


def test_masks_and_initial_weights_do_not_depend_on_the_stack() -> None:
    task = make_task(Recipe(), SMALL, MLP, sweep_seed=5)
    together, alone = Stack(task, range(8)), [Stack(task, [seed]) for seed in range(8)]
    assert np.array_equal(together.members, np.concatenate([s.members for s in alone]))
    for group, tensor in together.params.items():
        assert torch.equal(tensor, torch.cat([s.params[group] for s in alone]))
    for step, index in enumerate(together.sampler._shuffled(3)):
        assert torch.equal(index, torch.cat([s.sampler._shuffled(3)[step] for s in alone]))


@pytest.mark.parametrize("extra", [{"noise": 1.0}, {"mixup": 0.5}, {"augment": ("flip", "crop:1")}], ids=str)
def test_noise_mixing_and_augmentation_do_not_depend_on_the_stack(extra: dict[str, Any]) -> None:
    recipe = Recipe(epochs=2, **extra)
    together = train_replicas(recipe, SMALL, MLP, range(4), stack=4)
    alone = train_replicas(recipe, SMALL, MLP, range(4), stack=1)
    np.testing.assert_allclose(together.train.margin, alone.train.margin, rtol=1e-3, atol=1e-3)


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
    np.testing.assert_allclose(
        record.train.margin[:2, 1], looking.evaluate()["train_margin"][:, 0], atol=1e-4
    )
    inside = record.train.correct[:, 0]
    expected = [inside[k][record.members[k]].mean() for k in range(4)]
    np.testing.assert_allclose(record.train_accuracy, expected)
    assert (record.seconds > 0).all()
    assert np.isinf(record.epsilon).all()


def test_averaged_weights_are_judged_with_statistics_of_their_own() -> None:
    task = make_task(Recipe(optimizer="swa", epochs=4, schedule="constant", batch_size=80), SMALL, NORMED)
    stack = Stack(task, [0, 1])
    for _ in range(4):
        stack.train_epoch()
    named = stack.network.layout.unpack(stack.rule.final(stack.params, stack.state))
    found = stack._statistics_of(named)
    first = next(iter(stack.sampler._shuffled(4)))  # 80 members: one batch is the epoch
    conv = F.conv2d(task.data.x["train"][first[1]], named["0.weight"][1], named["0.bias"][1], padding=1)
    torch.testing.assert_close(found["1.running_mean"][1], conv.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["1.running_var"][1], conv.var((0, 2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", [MLP, {"name": "cnn", "width": 4, "norm": "group"}], ids=str)
def test_private_gradients_are_clipped_example_by_example(model: dict[str, Any]) -> None:
    clip = 0.7
    recipe = Recipe(optimizer="dpsgd", clip=clip, noise_multiplier=1.0, batch_size=20)
    stack = Stack(task := make_task(recipe, SMALL, model), [0, 1])
    batch = next(stack.sampler.epoch(0, stack.network, lambda z, t: -(z.log_softmax(0) * t).sum(0), {}))
    found = stack.network.layout.unpack(batch(stack.params))
    sizes = set()
    for k in range(2):
        module = task.module(k)
        total = [torch.zeros_like(p) for p in module.parameters()]
        drawn = batch.share[k] > 0
        sizes.add(int(drawn.sum()))
        for x, target in zip(batch.x[k][drawn], batch.targets[:, k].T[drawn], strict=True):
            g = plain_gradient(module, x[None], target.argmax()[None])
            for t, d in zip(total, g, strict=True):
                t += d * min(1.0, clip / norm(g)) / 20
        for (name, _), t in zip(module.named_parameters(), total, strict=True):
            torch.testing.assert_close(found[name][k], t, rtol=1e-3, atol=1e-6)
    assert len(sizes) == 2  # Poisson batches differ in size, and shorter ones are filled up


@pytest.mark.parametrize("at_once", [True, False])
def test_bytes_are_normalised_by_the_training_set_and_floats_left_alone(
    at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:
        monkeypatch.setattr("trainables.batches.NORMALISE_BYTES", 0)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 3, 4, 4)).astype(np.uint8)
    x[:, 1] //= 3
    y = np.arange(40) % 4
    data = load_dataset({"name": "digits"})
    images = Dataset(**{**vars(data), "x_train": x, "x_test": x[:5], "y_train": y, "y_test": y[:5]})
    device = DeviceData(images, torch.device("cpu"))
    expected = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    index = torch.tensor([[3, 1], [0, 39]])
    np.testing.assert_allclose(device.rows(index), expected[index.numpy()], atol=1e-5)
    np.testing.assert_allclose(torch.cat(list(device.chunks("test", 2))), expected[:5], atol=1e-5)
    floats = DeviceData(data, torch.device("cpu"))
    np.testing.assert_array_equal(floats.rows(index), data.x_train[index.numpy()])


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


def test_running_out_of_memory_halves_the_stack_once_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
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
    limit_of_this_device = 1
    with pytest.raises(torch.OutOfMemoryError), pytest.warns(UserWarning, match="out of memory"):
        train_replicas(Recipe(epochs=1), SMALL, MLP, range(5), stack=4)


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


def misfit(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes + 1))


@pytest.mark.parametrize(("optimizer", "model"), [("sgd", "dropping"), ("swa", "dropping_before_norm")])
def test_dropout_follows_each_replica_own_seed(optimizer: str, model: str) -> None:
    recipe, model = Recipe(optimizer=optimizer, epochs=1), f"{__name__}:{model}"
    block = train_replicas(recipe, SMALL, model, [0, 1], stack=1)
    alone = train_replicas(recipe, SMALL, model, [1], stack=1)
    assert np.array_equal(block.train.margin[1], alone.train.margin[0])


TABLE = {"x_train": np.eye(8, dtype=np.float32), "y_train": np.arange(8) % 2}


def table() -> dict[str, np.ndarray]:
    return {**TABLE, "x_test": TABLE["x_train"], "y_test": TABLE["y_train"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stack": 0}, "stack 0: expected 'auto' or a whole number"),
        ({"stack": 2, "model": f"{__name__}:dropping"}, "has dropout, which needs stack 1"),
        ({"queries": 3}, "queries 3: expected 1 .* or 2"),
        ({"queries": 2, "dataset": f"{__name__}:table"}, "is a table, and only images"),
        (
            {"recipe": Recipe(augment=("flip",)), "dataset": f"{__name__}:table"},
            "only images can be augmented",
        ),
        ({"device": "gpu"}, "device 'gpu' is not known; expected 'cpu', 'cuda' or"),
        ({"device": "meta"}, "device 'meta' is not known"),
        ({"device": "cuda:99"}, "device 'cuda:99': torch finds"),
        ({"seeds": []}, "seeds ..: expected at least one"),
        ({"seeds": [0, -1]}, "seeds .0, -1.: expected at least one, and none below 0"),
        ({"subsets": {"scheme": "third"}}, "subsets.scheme: 'third'"),
        (
            {"subsets": {"scheme": "fraction"}},
            "scheme 'fraction' needs 'fraction', a number between 0 and 1$",
        ),
        ({"dataset": {**SMALL, "train_size": 1}}, "1 training example leaves none for a half"),
        ({"model": "builtins:print"}, "returned NoneType; expected a torch.nn.Module"),
        (
            {"recipe": Recipe(batch_size=1), "model": {**MLP, "norm": "batch"}},
            "model 'mlp' cannot take a batch of 1 example: Expected more than 1 value",
        ),
        (
            {"recipe": Recipe(optimizer="sam", rho=0.1, m=1), "model": {**MLP, "norm": "batch"}},
            "model 'mlp' cannot take a batch of 1 example",
        ),
        ({"model": f"{__name__}:misfit"}, "gives .2, 11. for 2 examples; expected logits .2, 10."),
        ({"model": "vgg11"}, "'vgg11' needs images of at least 32 pixels"),
        (
            {"recipe": Recipe(optimizer="dpsgd", clip=1, noise_multiplier=1), "model": NORMED},
            "use norm: group",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(change: dict[str, Any], message: str) -> None:
    given = {"recipe": Recipe(epochs=1), "dataset": SMALL, "model": MLP, "seeds": [0, 1], **change}
    with pytest.raises(UserError, match=message) as error:
        train_replicas(**given)
    assert "\n" not in str(error.value)


def test_bfloat16_keeps_parameters_and_losses_in_single_precision() -> None:
    stack = Stack(make_task(Recipe(precision="bfloat16", optimizer="sam", rho=0.1), SMALL, MLP), [0, 1])
    exact = Stack(make_task(Recipe(optimizer="sam", rho=0.1), SMALL, MLP), [0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.train_epoch()
    exact.train_epoch()
    assert all(p.dtype == torch.float32 for p in stack.params.values())
    np.testing.assert_allclose(stack.loss, exact.loss, rtol=0.02)
    exact.params = stack.params
    for name, signal in stack.evaluate().items():  # audited in single precision
        np.testing.assert_allclose(signal, exact.evaluate()[name], rtol=1e-3, atol=1e-5)
