"""A stack: the replicas of some subset seeds, trained in lockstep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor

from trainables.data.batches import Drawn, Sampler
from trainables.data.subsets import draw_members
from trainables.engine.batch import Batch
from trainables.engine.capture import Capture, Kind, Steps
from trainables.engine.evaluation import Arrays, evaluate, statistics_of
from trainables.engine.memory import keep_freed_memory
from trainables.engine.networks import Params, held, trained
from trainables.engine.task import Task
from trainables.errors import UserError
from trainables.optimizers.losses import objective
from trainables.optimizers.noise import DrawnAhead
from trainables.optimizers.schedule import learning_rate
from trainables.optimizers.update_rules import update_rule
from trainables.seeding import stream, torch_seed

GROUPS = ("params", "state", "buffers")  # what the rest of training depends on


class Stack:
    """K replicas in lockstep: their parameters, optimizer state and BatchNorm statistics, all ``[K, ...]``.

    Tensors stay where they are as long as the stack lives: a step, an epoch, ``restore`` and ``reset`` write
    into them. So a step can be captured once and replayed.

    Args:
        task: What to train.
        seeds: One subset seed a replica.
        capture: How steps are captured; None runs them one operation after the other.

    Raises:
        UserError: The network draws random numbers of its own, and there are several replicas.
    """

    def __init__(self, task: Task, seeds: Sequence[int], capture: Capture | None = None) -> None:
        if len(seeds) > 1 and task.dropout:
            raise UserError(
                f"stack {len(seeds)}: model {task.context.model['name']!r} has dropout, which needs stack 1"
            )
        if task.device.type == "cpu":
            keep_freed_memory()
        self.task, self.network, self.rule = task, task.network, update_rule(task.definite)
        self.sampler = Sampler(task.definite, task.data, len(seeds), task.size, host=capture is None)
        device, steps = task.device, self.sampler.steps
        # A CPU reads the rate back in double precision, a GPU's kernels take single.
        precision = torch.float64 if device.type == "cpu" else torch.float32
        self.rates = torch.zeros(steps, dtype=precision, device=device)
        self.rate_of: list[float] = []  # the same, of steps that are not captured
        self.losses = torch.zeros(steps, len(seeds), device=device)
        self.params, self.state, self.buffers = self._initial(seeds)
        self._begin(seeds)
        self.take = Steps(capture)
        self.ahead = DrawnAhead(self.params, self.sampler.step, steps) if capture else None
        self.prepared = capture is None

    def _begin(self, seeds: Sequence[int]) -> None:
        task = self.task
        self.seeds = list(seeds)
        context, data = task.context, task.dataset
        self.members = draw_members(
            context.subsets, seeds, len(data.y_train), context.sweep_seed, data.canaries
        )
        self.epoch = 0
        self.seconds = 0.0
        self.loss = np.full(len(seeds), np.nan)
        self.drawn: dict[int, Drawn] = {}

    def _initial(self, seeds: Sequence[int]) -> tuple[Params, Params, Params]:
        """Parameters, optimizer state and buffers of replicas that have not trained."""
        task = self.task
        modules = [task.module(seed) for seed in seeds]
        named, buffers = (_stacked([of(m) for m in modules], task.device) for of in (trained, held))
        params = self.network.layout.pack(named)
        noise = [torch_seed(task.context.sweep_seed, seed, "noise") for seed in seeds]
        return params, self.rule.init(params, noise), buffers

    def reset(self, seeds: Sequence[int]) -> None:
        """Start anew with as many replicas of other seeds."""
        for group, fresh in zip(GROUPS, self._initial(seeds), strict=True):
            tensors: dict[str, Tensor] = getattr(self, group)
            for name, tensor in fresh.items():
                tensors[name].copy_(tensor)
        self._begin(seeds)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.sampler.steps

    def streams(self, purpose: str) -> Iterator[np.random.Generator]:
        """Return the replicas' random streams for one purpose."""
        return (stream(self.task.context.sweep_seed, seed, purpose) for seed in self.seeds)

    def load_epoch(self) -> list[int]:
        """Draw this epoch and start it; return the sizes of its batches."""
        return self.sampler.load(self.drawn.pop(self.epoch, {}) or self._draw(self.epoch))

    def draw_ahead(self) -> None:
        """Draw the next epoch on the host while a GPU works on this one."""
        following = self.epoch + 1
        if self.take.capture and following < self.task.epochs:
            self.drawn = {following: self._draw(following)}

    def _draw(self, epoch: int) -> Drawn:
        return self.sampler.draw(epoch, self.members, self.streams)

    def begin_epoch(self, limit: int | None = None) -> list[int]:
        """Draw the epoch, or its first ``limit`` steps; return the sizes of its batches."""
        if not self.prepared:
            self._prepare(self.load_epoch())
        recipe, steps = self.task.recipe, self.sampler.steps
        first = self.epoch * steps
        rates = [learning_rate(recipe, first + step, recipe.epochs * steps) for step in range(steps)]
        if self.sampler.host:
            self.rate_of = rates
        else:
            self.rates.copy_(torch.tensor(rates, dtype=self.rates.dtype))
        return self.load_epoch()[:limit]

    def take_step(self, step: int, size: int) -> None:
        """Launch one step of the epoch that was begun; the host does not wait for it."""
        number = int(self.state["step"])
        if self.ahead:
            self.ahead.refill(self.state["seeds"].tolist(), number, step)
        self.take(self._kind(size, number, self.epoch), self._step)
        self.state["step"] += 1

    def finish_epoch(self, steps: int) -> None:
        """Wait for the epoch of so many steps that was begun."""
        self.epoch += 1
        self.rule.end_epoch(self.params, self.state, self.epoch / self.task.recipe.epochs)
        self.loss = self.losses[:steps].mean(0).cpu().numpy()

    def train_epoch(self, limit: int | None = None) -> None:
        """Train one epoch, or its first ``limit`` steps. The host waits for the device once, at the end."""
        start = time.perf_counter()
        with self.take.on_stream(), self.dropout_seeded():
            sizes = self.begin_epoch(limit)
            for step, size in enumerate(sizes):
                self.take_step(step, size)
            if limit is None:
                self.draw_ahead()
            self.finish_epoch(len(sizes))
        self.seconds += time.perf_counter() - start

    def batch(self, size: int, epoch: int | None = None) -> Batch:
        """Return the next batch of this epoch."""
        loss = objective(self.task.recipe, self.epoch if epoch is None else epoch)
        examples = self.sampler.next(size)
        return Batch(self.network, loss, self.buffers, *examples, self.task.definite.clip)

    def _kind(self, size: int, number: int, epoch: int) -> Kind:
        return Kind(size, self.rule.phase(number), epoch % 2 if self.task.recipe.relaxloss else 0)

    def _step(self, kind: Kind) -> None:
        """Do the part of a step that happens on the device."""
        if self.sampler.host:
            number = self.sampler.number
            batch = self.batch(kind.size, kind.parity)
            self.rule.move(self.params, self.state, batch, lr=self.rate_of[number])
            self.losses[number] = batch.seen[0]
            return
        at = self.sampler.step.clone()
        rate = self.rates.index_select(0, at)[0]
        batch = self.batch(kind.size, kind.parity)
        captured = self.take.capture is not None
        self.rule.move(self.params, self.state, batch, lr=rate, ahead=self.ahead, captured=captured)
        self.losses.index_copy_(0, at, batch.seen[0][None])

    def _kept(self) -> list[Tensor]:
        """Return the tensors that a step changes."""
        groups = (self.params, self.state, self.buffers)
        mine = [tensor for group in groups for tensor in group.values()]
        return [*mine, self.losses, self.sampler.step, self.sampler.place]

    def _at(self, number: int) -> None:
        self.state["step"].fill_(number)

    def _prepare(self, sizes: Sequence[int]) -> None:
        """Capture every kind of step that training takes, those of past epochs for the stack's next seeds."""
        every = self.sampler.steps
        kinds: dict[Kind, Callable[[], None]] = {}
        for epoch in range(self.task.epochs):
            for step, size in enumerate(sizes):
                number = epoch * every + step
                kind = self._kind(size, number, epoch)
                kinds.setdefault(kind, partial(self._at, number))
        self.take.prepare(kinds, self._step, self._kept())
        self.prepared = True

    @contextmanager
    def dropout_seeded(self) -> Iterator[None]:
        """Draw the network's own random numbers from the replica's stream of this epoch."""
        with torch.random.fork_rng(enabled=self.task.dropout):
            if self.task.dropout:
                seed = torch_seed(self.task.context.sweep_seed, self.seeds[0], f"dropout {self.epoch}")
                torch.manual_seed(seed)
            yield

    def results(self) -> Arrays:
        """Return what a record holds of these replicas, by its names."""
        k = len(self.seeds)
        named = self.network.layout.unpack(self.rule.final(self.params, self.state))
        buffers = self.buffers
        if buffers and self.rule.averages:
            buffers = statistics_of(self.network, named, buffers, self._inputs())
        return evaluate(self.task, named, buffers, self.members) | {
            "members": self.members,
            "final_loss": self.loss,
            "seconds": np.full(k, self.seconds / k),
            "epochs": np.full(k, self.epoch),
            "epsilon": np.full(k, self.task.guarantee.epsilon),
            "delta": np.full(k, self.task.guarantee.delta),
        }

    def _inputs(self) -> Iterator[Tensor]:
        """Yield the inputs of one epoch's batches."""
        with self.dropout_seeded():
            for size in self.load_epoch():
                yield self.sampler.next(size)[0]

    def arrays(self) -> Arrays:
        """Return all that the rest of training depends on, by name."""
        out = {f"{g}/{n}": t.cpu().numpy().copy() for g in GROUPS for n, t in getattr(self, g).items()}
        return out | {"epoch": np.array(self.epoch), "seconds": np.array(self.seconds), "loss": self.loss}

    def restore(self, arrays: Arrays) -> bool:
        """Go on from what `arrays` gave.

        Returns:
            Whether the arrays fit: these names and shapes, and these replicas. Otherwise nothing is changed.
        """
        own = {f"{group}/{name}": t for group in GROUPS for name, t in getattr(self, group).items()}
        shapes = {name: tuple(tensor.shape) for name, tensor in own.items()} | {
            "epoch": (),
            "seconds": (),
            "loss": (len(self.seeds),),
        }
        fits = {name: np.shape(value) for name, value in arrays.items()} == shapes
        if not fits or arrays["state/seeds"].tolist() != self.state["seeds"].tolist():
            return False
        for name, tensor in own.items():
            tensor.copy_(torch.from_numpy(np.array(arrays[name])))
        self.epoch, self.seconds, self.loss = int(arrays["epoch"]), float(arrays["seconds"]), arrays["loss"]
        return True


def _stacked(replicas: list[Iterator[tuple[str, Tensor]]], device: torch.device) -> Params:
    named = [dict(tensors) for tensors in replicas]
    return {name: torch.stack([n[name].detach() for n in named]).to(device) for name in named[0]}
