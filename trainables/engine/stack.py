"""A stack: the replicas of some subset seeds, trained in lockstep and then asked about every example."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from math import ceil, cos, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from trainables.data.batches import Sampler
from trainables.data.dataset import Dataset, load_dataset
from trainables.data.device_data import DeviceData
from trainables.data.subsets import Subsets, draw_members
from trainables.engine.batch import Batch
from trainables.engine.compilation import check_mode
from trainables.engine.curvature import draw_directions, input_curvature
from trainables.engine.networks import Params, held, make_network, trained
from trainables.errors import UserError
from trainables.models import ModelSpec, model_factory, resolve_model
from trainables.optimizers.losses import objective
from trainables.optimizers.privacy import Guarantee, check_model, resolve
from trainables.optimizers.registry import find_optimizer
from trainables.optimizers.update_rules import update_rule
from trainables.recipe import Recipe
from trainables.records import FLOAT_SIGNALS, SIDES, Signals
from trainables.seeding import stream, torch_seed

EVALUATION_FLOATS = 2**22  # inputs evaluated at a time, over all replicas of a stack
Arrays = dict[str, NDArray[Any]]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """``lr`` times the schedule at ``step`` of ``steps``: a linear rise over the first ``warmup`` share of
    them, then constant, or a fall to 0 along a line or half a cosine (Loshchilov and Hutter 2017)."""
    warmup = round(recipe.warmup * steps)
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    past = (step - warmup) / (steps - warmup)
    falls = {"constant": 1.0, "linear": 1 - past, "cosine": (1 + cos(pi * past)) / 2}
    return recipe.lr * falls[recipe.schedule]


def epochs_run(recipe: Recipe) -> int:
    """Epochs until training ends: early stopping leaves the schedule of all of them as it is."""
    return ceil((recipe.early_stopping or 1) * recipe.epochs)


@dataclass(frozen=True)
class Task:
    """What all stacks of one call share, checked; made by ``make_task``.

    ``definite`` is the recipe with its privacy noise worked out, ``guarantee`` what that noise guarantees.
    """

    recipe: Recipe
    definite: Recipe
    guarantee: Guarantee
    dataset: Dataset
    data: DeviceData
    model: Mapping[str, Any]
    subsets: Subsets
    sweep_seed: int
    queries: int
    curvature: int | None
    compile: str | None

    @property
    def size(self) -> int:
        """Examples that a replica sees in one epoch."""
        return self.subsets.size(len(self.dataset.y_train))

    @property
    def epochs(self) -> int:
        return epochs_run(self.recipe)

    @property
    def steps(self) -> int:
        """Of training one replica."""
        return ceil(self.size / self.recipe.batch_size) * self.epochs

    def module(self, seed: int) -> nn.Module:
        """The freshly initialised network of one subset seed, on the CPU."""
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would seed every other device too, which takes longer than building an MLP.
            torch.default_generator.manual_seed(torch_seed(self.sweep_seed, seed, "init"))
            return self._factory(self.data.shape, self.data.num_classes)

    @cached_property
    def _factory(self) -> Callable[[Sequence[int], int], nn.Module]:
        return model_factory(self.model)

    @cached_property
    def dropout(self) -> bool:
        """Whether the network draws random numbers of its own, which only a stack of one can seed by
        replica."""
        module, blank = self.module(0).train(), torch.zeros(2, *self.data.shape)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            before = torch.get_rng_state()
            module(blank)
            return not torch.equal(before, torch.get_rng_state())


@cache
def keep_freed_memory() -> None:
    """Has glibc keep freed memory instead of giving it back to the system and asking again in the same step.

    Temporaries of a few MiB cost more in page faults than in arithmetic: a quarter of an MLP stack's time.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None:
        mallopt(mmap_threshold, 2**25)
        mallopt(trim_threshold, 2**30)


def make_task(
    recipe: Recipe,
    dataset: str | Mapping[str, Any] | Dataset,
    model: ModelSpec,
    subsets: Mapping[str, Any] | Subsets = Subsets(),  # noqa: B008, frozen
    sweep_seed: int = 0,
    queries: int = 1,
    curvature: int | None = None,
    device: str | torch.device = "cpu",
    compile: str | None = None,
) -> Task:
    """Loads and checks everything that training will need.

    Raises:
        UserError: there is no such device, or something does not go together (``check``).
    """
    place = _device(device)
    check_mode(compile)
    if place.type == "cpu":
        keep_freed_memory()
    loaded = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    try:
        chosen = Subsets.model_validate(subsets)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["subsets", *map(str, first["loc"])])
        why = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}: {first['input']!r}: {why}") from error
    check([recipe], loaded, model, chosen, queries)
    if curvature is not None and curvature < 1:
        raise UserError(f"curvature {curvature!r}: expected at least 1 direction, or None to leave it out")
    definite, guarantee = _resolved(recipe, chosen.size(len(loaded.y_train)))
    return Task(
        recipe=recipe,
        definite=definite,
        guarantee=guarantee,
        dataset=loaded,
        data=DeviceData(loaded, place),
        model=resolve_model(model),
        subsets=chosen,
        sweep_seed=sweep_seed,
        queries=queries,
        curvature=curvature,
        compile=compile,
    )


def _device(device: str | torch.device) -> torch.device:
    try:
        place = torch.device(device)
    except RuntimeError:
        place = torch.device("meta")
    if place.type not in ("cpu", "cuda"):
        raise UserError(
            f"device {str(device)!r} is not known; expected 'cpu', 'cuda' or 'cuda:<number>'"
        ) from None
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise UserError(
            f"device {str(device)!r}: torch finds {f'{found} CUDA devices' if found else 'no CUDA device'} "
            "here; use 'cpu'"
        )
    return place


def _resolved(recipe: Recipe, size: int) -> tuple[Recipe, Guarantee]:
    return resolve(recipe, size, ceil(size / recipe.batch_size) * epochs_run(recipe))


def check(
    recipes: Sequence[Recipe], dataset: Dataset, model: ModelSpec, subsets: Subsets, queries: int
) -> None:
    """Refuses what does not go together, so that it says so before a sweep starts and not in every trial.

    Tries the network on blank examples; trains nothing and needs no device.

    Raises:
        UserError: too few examples, no such views, or a recipe or model that cannot take the data.
    """
    n, shape, images = len(dataset.y_train), dataset.x_train.shape[1:], dataset.x_train.ndim == 4
    size, name = subsets.size(n), resolve_model(model)["name"]
    if size < 1:
        raise UserError(f"dataset: {n} training example leaves none for a half; expected at least 2")
    if queries not in (1, 2):
        raise UserError(
            f"queries {queries!r}: expected 1 (the example) or 2 (the example and its mirror image)"
        )
    if queries == 2 and not images:
        raise UserError(
            f"queries 2: dataset {dataset.name!r} is a table, and only images have a mirror image"
        )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        module = model_factory(model)(shape, dataset.num_classes)
        if not isinstance(module, nn.Module):
            raise UserError(f"model {name!r} returned {type(module).__name__}; expected a torch.nn.Module")
        if not list(trained(module)):
            raise UserError(f"model {name!r} has no parameter that requires a gradient, so nothing to train")
        logits, expected = _tried(name, module.eval(), 2, shape), (2, dataset.num_classes)
        if logits != expected:
            raise UserError(
                f"model {name!r} gives {list(logits)} for 2 examples; expected logits {list(expected)}"
            )
        for recipe in recipes:
            if recipe.augment and not images:
                raise UserError(
                    f"augment {list(recipe.augment)}: the data are a table; only images can be augmented"
                )
            check_model(recipe, module)
            _resolved(recipe, size)
            fewest = min(size // ceil(size / min(recipe.batch_size, size)), recipe.m or size)
            if fewest == 1 and not find_optimizer(recipe.optimizer).private:
                _tried(name, module.train(), 1, shape)  # BatchNorm may have nothing to take deviations of


def _tried(name: str, module: nn.Module, n: int, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of what the network gives for ``n`` blank examples."""
    try:
        return tuple(module(torch.zeros(n, *shape)).shape)
    except (RuntimeError, ValueError, AssertionError) as error:
        what = "a batch of 1 example" if n == 1 else f"examples of {list(shape)}"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"model {name!r} cannot take {what}: {reason}") from error


@contextmanager
def _full_precision() -> Iterator[None]:
    """GPUs round what convolutions multiply to ten bits unless told not to, which ties or blurs margins."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class Stack:
    """K replicas in lockstep: their parameters, optimizer state and BatchNorm statistics, all ``[K,
    ...]``."""

    def __init__(self, task: Task, seeds: Sequence[int]) -> None:
        if len(seeds) > 1 and task.dropout:
            raise UserError(
                f"stack {len(seeds)}: model {task.model['name']!r} has dropout, which needs stack 1"
            )
        self.task, self.seeds = task, list(seeds)
        recipe, device = task.definite, task.data.device
        self.members = draw_members(task.subsets, seeds, len(task.dataset.y_train), task.sweep_seed)
        modules = [task.module(seed) for seed in seeds]
        params, self.buffers = (_stacked([of(m) for m in modules], device) for of in (trained, held))
        self.network = make_network(modules[0], device, recipe.precision, task.compile)
        self.params = self.network.layout.pack(params)
        self.rule = update_rule(recipe)
        self.state = self.rule.init(
            self.params, [torch_seed(task.sweep_seed, seed, "noise") for seed in seeds]
        )
        self.sampler = Sampler(recipe, task.data, self.members, task.size, self._streams)
        self.epoch = 0
        self.seconds = 0.0
        self.loss = np.full(len(seeds), np.nan)

    def _streams(self, purpose: str) -> Iterator[np.random.Generator]:
        return (stream(self.task.sweep_seed, seed, purpose) for seed in self.seeds)

    def batches(self) -> Iterator[Batch]:
        """Those of this epoch."""
        loss = objective(self.task.recipe, self.epoch)
        for examples in self.sampler.epoch(self.epoch):
            yield Batch(self.network, loss, self.buffers, *examples, self.task.definite.clip)

    def train_epoch(self, limit: int | None = None) -> None:
        """One epoch, or its first ``limit`` steps. The host waits for the device once, at the end."""
        start, recipe, steps = time.perf_counter(), self.task.recipe, self.sampler.steps
        losses = []
        with self._dropout_seeded():
            for step, batch in enumerate(islice(self.batches(), limit), self.epoch * steps):
                lr = learning_rate(recipe, step, recipe.epochs * steps)
                self.rule.step_(self.params, self.state, batch, lr=lr)
                losses.append(batch.seen[0])
        self.epoch += 1
        self.rule.end_epoch(self.params, self.state, self.epoch / recipe.epochs)
        self.loss = torch.stack(losses).mean(0).cpu().numpy()
        self.seconds += time.perf_counter() - start

    @contextmanager
    def _dropout_seeded(self) -> Iterator[None]:
        """The network's own random numbers, from the replica's stream of this epoch."""
        with torch.random.fork_rng(enabled=self.task.dropout):
            if self.task.dropout:
                torch.manual_seed(torch_seed(self.task.sweep_seed, self.seeds[0], f"dropout {self.epoch}"))
            yield

    def results(self) -> Arrays:
        """What a record holds of these replicas, by its names."""
        k = len(self.seeds)
        return self.evaluate() | {
            "members": self.members,
            "final_loss": self.loss,
            "seconds": np.full(k, self.seconds / k),
            "epochs": np.full(k, self.epoch),
            "epsilon": np.full(k, self.task.guarantee.epsilon),
            "delta": np.full(k, self.task.guarantee.delta),
        }

    @torch.no_grad()
    @_full_precision()
    def evaluate(self) -> Arrays:
        """Signals of every example by their names in a record, ``[K, queries, n]``, and the accuracies
        ``[K]``."""
        params = self.rule.final(self.params, self.state)
        named = self.network.layout.unpack(params)
        buffers = self._statistics_of(named) if self.rule.averages and self.buffers else self.buffers
        chunk = max(1, EVALUATION_FLOATS // (len(self.seeds) * int(np.prod(self.task.data.shape))))
        out: Arrays = {}
        for side in SIDES:
            parts, labels = [], getattr(self.task.dataset, f"y_{side}")
            for i, x in enumerate(self.task.data.chunks(side, chunk)):
                views = [x, x.flip(-1)][: self.task.queries]
                logits = [
                    self.network.logits(named, buffers, v.expand(len(self.seeds), *v.shape), train=False)
                    for v in views
                ]
                parts.append(
                    Signals.of(torch.stack(logits, 1).cpu().numpy(), labels[i * chunk : (i + 1) * chunk])
                )
            for name in ("correct", *FLOAT_SIGNALS):
                out[f"{side}_{name}"] = np.concatenate([getattr(part, name) for part in parts], axis=-1)
        out["test_accuracy"] = out["test_correct"][:, 0].mean(axis=1)
        out["train_accuracy"] = np.average(out["train_correct"][:, 0], axis=1, weights=self.members)
        if self.task.curvature:
            out["train_curvature"] = self._curvature(self.task.curvature, named, buffers)
        return out

    def _curvature(self, directions: int, named: Params, buffers: Params) -> NDArray[np.float32]:
        """Of every training example ``[K, queries, n]``, in batches of training's size: those fit the
        memory."""
        task, size = self.task, self.task.recipe.batch_size
        drawn = draw_directions(directions, task.data.shape, task.sweep_seed).to(task.data.device)
        parts = []
        for x, y in zip(task.data.chunks("train", size), task.data.y.split(size), strict=True):
            views = [x, x.flip(-1)][: task.queries]
            each = [input_curvature(self.network, named, buffers, v, y, drawn) for v in views]
            parts.append(torch.stack(each, 1).cpu().numpy())
        return np.concatenate(parts, axis=-1)

    def _statistics_of(self, named: Params) -> Params:
        """BatchNorm statistics of averaged weights: each batch's own, averaged over one epoch (Izmailov et
        al. 2018)."""
        norms = [m for m in self.network.module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        total = {name: torch.zeros_like(b, dtype=torch.float32) for name, b in self.buffers.items()}
        for norm in norms:
            norm.momentum = 1.0
        with self._dropout_seeded():
            for x, *_ in self.sampler.epoch(self.epoch):
                self.network.logits(named, self.buffers, x, train=True)
                total = {name: t + self.buffers[name] for name, t in total.items()}
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        return {name: (t / self.sampler.steps).to(self.buffers[name].dtype) for name, t in total.items()}

    def arrays(self) -> Arrays:
        """All that the rest of training depends on."""
        groups = {"params": self.params, "state": self.state, "buffers": self.buffers}
        out = {
            f"{g}/{n}": t.cpu().numpy().copy() for g, tensors in groups.items() for n, t in tensors.items()
        }
        return out | {"epoch": np.array(self.epoch), "seconds": np.array(self.seconds), "loss": self.loss}

    def restore(self, arrays: Arrays) -> None:
        """Goes on from what ``arrays`` gave."""
        for group in ("params", "state", "buffers"):
            tensors: dict[str, Tensor] = getattr(self, group)
            saved = {k.removeprefix(f"{group}/"): v for k, v in arrays.items() if k.startswith(f"{group}/")}
            for name, value in saved.items():
                device = tensors[name].device if name in tensors else torch.device("cpu")
                tensors[name] = torch.from_numpy(np.array(value)).to(device)
        self.epoch, self.seconds, self.loss = int(arrays["epoch"]), float(arrays["seconds"]), arrays["loss"]


def _stacked(replicas: list[Iterator[tuple[str, Tensor]]], device: torch.device) -> Params:
    named = [dict(tensors) for tensors in replicas]
    return {name: torch.stack([n[name].detach() for n in named]).to(device) for name in named[0]}
