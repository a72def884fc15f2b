"""Train an ensemble of replicas, a stack at a time, and record what they think of every example."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.dataset import Dataset
from trainables.data.subsets import Subsets
from trainables.engine.calibration import calibrate
from trainables.engine.evaluation import Arrays
from trainables.engine.lanes import Lanes, make_stack
from trainables.engine.memory import out_of_memory
from trainables.engine.runtime import Runtime
from trainables.engine.stack import Stack
from trainables.engine.task import Task, make_task
from trainables.errors import Diverged, UserError
from trainables.models import ModelSpec
from trainables.recipe import Recipe
from trainables.records import FLOAT_SIGNALS, PER_REPLICA, SIDES, Record, Signals

__all__ = ["Progress", "train_replicas", "train_task"]

OnEpoch = Callable[[float, float], None]  # replicas done, mean loss


class Progress(Protocol):
    """Where a long block keeps its unfinished state, as arrays that ``np.savez`` takes."""

    @property
    def every(self) -> float:
        """The least number of seconds between two saves."""

    def load(self) -> Arrays | None:
        """Return what was saved last, or None."""

    def save(self, arrays: Arrays) -> None:
        """Keep these arrays in place of the former ones."""


def train_replicas(
    recipe: Recipe,
    dataset: str | Mapping[str, Any] | Dataset,
    model: ModelSpec,
    seeds: Sequence[int],
    *,
    subsets: Mapping[str, Any] | Subsets = Subsets(),  # noqa: B008, frozen
    sweep_seed: int = 0,
    queries: int = 1,
    curvature: int | None = None,
    device: str | torch.device = "cpu",
    stack: int | str = "auto",
    compile: str | None = "auto",
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
) -> Record:
    """Train one replica a subset seed and return their record.

    Replicas train ``stack`` at a time in lockstep. Mask, initial weights, batch order, augmentation and noise
    of a replica depend on ``sweep_seed`` and its own seed alone. With the same stack and machine, results on
    a CPU are the same bit for bit; another stack rounds differently.

    Args:
        recipe: How to train.
        dataset: What a spec would hold: a name, or a mapping with ``name`` and options; or a loaded data set.
        model: What a spec would hold: a name, or a mapping with ``name`` and options.
        seeds: Subset seeds, one a replica, at least 0.
        subsets: The subset scheme: ``{"scheme": "half"}`` or ``{"scheme": "fraction", "fraction": 0.7}``.
        sweep_seed: What all random streams start from.
        queries: Views of each example that are recorded: 1 is the example itself, 2 adds its mirror image.
        curvature: Directions to estimate the input-loss curvature of the training examples with, a proxy of
            memorization (see `trainables.engine.curvature`); each costs about an epoch. None: it is not
            recorded.
        device: ``"cpu"``, ``"cuda"`` or a torch device.
        stack: Replicas that train at once; ``"auto"`` measures how many are fastest.
        compile: A mode of torch.compile for the passes of training (see `trainables.engine.compilation`);
            None for none. Plain MLPs in float32, whose passes are written out, and private optimizers, which
            clip example by example, are left as they are. ``"auto"`` compiles where it pays, which is on a
            GPU only.
        progress: Where state is saved at ends of epochs, at most once in ``progress.every`` seconds, and gone
            on from.
        on_epoch: Called as ``on_epoch(replicas done, mean loss)`` after each epoch of a stack.

    Returns:
        The record of the replicas, in the order of ``seeds``.

    Raises:
        UserError: A data set, model, option or combination that cannot be had.
        Diverged: A replica's loss or logits are no longer numbers.

    >>> record = train_replicas(Recipe(epochs=1), "digits", "mlp", [0, 1])
    >>> record.members.sum(axis=0).max()  # two seeds, two complementary halves
    np.int64(1)
    """
    runtime = Runtime(str(device), stack, compile)
    context = {"sweep_seed": sweep_seed, "queries": queries, "curvature": curvature}
    task = make_task(recipe, dataset, model, subsets, runtime, **context)
    return train_task(task, seeds, progress=progress, on_epoch=on_epoch)


def train_task(
    task: Task,
    seeds: Sequence[int],
    *,
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
) -> Record:
    """Train one replica of a task a subset seed; see `train_replicas`.

    Args:
        task: What to train, and where.
        seeds: Subset seeds, one a replica, at least 0.
        progress: Where state is saved at ends of epochs, and gone on from.
        on_epoch: Called as ``on_epoch(replicas done, mean loss)`` after each epoch of a stack.

    Returns:
        The record of the replicas, in the order of ``seeds``.

    Raises:
        UserError: There is no seed, or one below 0.
        Diverged: A replica's loss or logits are no longer numbers.
    """
    seeds = [int(seed) for seed in seeds]
    if not seeds or min(seeds) < 0:
        raise UserError(f"seeds {seeds}: expected at least one, and none below 0")
    ledger = Ledger(progress)
    task = _settled(task, len(seeds), ledger.width)
    width = int(task.runtime.stack)
    stack = None
    while ledger.replicas < len(seeds):
        ledger.width = width
        try:
            stack = _ready(task, seeds[ledger.replicas :][:width], stack)
            ledger.add(_train(stack, ledger, on_epoch))
            continue
        except (RuntimeError, MemoryError) as error:
            if width == 1 or not out_of_memory(error):
                raise
        # Only here, outside the handler, can the failed stack's memory be let go.
        stack = None
        ledger.take_unfinished()  # of the wider stack
        width = ceil(width / 2)
        warnings.warn(f"out of memory: training {width} replicas at a time from now on", stacklevel=2)
        if task.device.type == "cuda":
            torch.cuda.empty_cache()
    return _record(task, seeds, ledger.results())


def _ready(task: Task, seeds: Sequence[int], stack: Stack | Lanes | None) -> Stack | Lanes:
    """Return the stack that trained the last replicas where as many train next, else a new one."""
    if stack is None or len(stack.seeds) != len(seeds):
        return make_stack(task, seeds)
    stack.reset(seeds)
    return stack


def _train(stack: Stack | Lanes, ledger: Ledger, on_epoch: OnEpoch | None) -> Arrays:
    """Train and evaluate one stack."""
    task, seeds = stack.task, stack.seeds
    unfinished = ledger.take_unfinished()
    if unfinished and not stack.restore(unfinished):
        warnings.warn(f"saved progress is of other replicas: {len(seeds)} start anew", stacklevel=2)
    while stack.epoch < task.epochs:
        stack.train_epoch()
        _require_numbers(stack, stack.loss)
        if on_epoch:
            on_epoch(ledger.replicas + len(seeds) * stack.epoch / task.epochs, float(stack.loss.mean()))
        if ledger.due:
            ledger.save(stack)
    with np.errstate(invalid="ignore"):  # said below, once and by name
        results = stack.results()
    for side in SIDES:
        _require_numbers(stack, results[f"{side}_margin"])
    return results


def _require_numbers(stack: Stack | Lanes, values: NDArray[Any]) -> None:
    """Refuse values that are not numbers: no attack can rank them, and nothing brings the weights back."""
    lost = np.isnan(values.reshape(len(stack.seeds), -1)).any(axis=1)
    if lost.any():
        recipe, seed = stack.task.recipe, stack.seeds[lost.argmax()]
        raise Diverged(
            f"recipe {recipe.label!r}: the replica of seed {seed} diverged in epoch {stack.epoch} of "
            f"{stack.task.epochs}; lower lr (now {recipe.lr:g}), rho or noise"
        )


class Ledger:
    """The results of a block's finished stacks, and with ``progress`` the state of the one in training.

    Saved arrays: ``width``, ``done/<name>`` for results and ``unfinished/<name>`` for a stack's state.
    """

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        saved = (progress and progress.load()) or {}
        self.width = int(saved["width"]) if saved else 0
        self.done = [_below("done/", saved)] if "done/seconds" in saved else []
        self.unfinished = _below("unfinished/", saved)
        self.saved_at = time.monotonic()

    @property
    def replicas(self) -> int:
        return sum(len(part["seconds"]) for part in self.done)

    @property
    def due(self) -> bool:
        return self.progress is not None and time.monotonic() - self.saved_at >= self.progress.every

    def take_unfinished(self) -> Arrays:
        """Return the state to go on from, once: a stack that failed starts anew."""
        unfinished, self.unfinished = self.unfinished, {}
        return unfinished

    def add(self, results: Arrays) -> None:
        self.done.append(results)

    def results(self) -> Arrays:
        return {name: np.concatenate([part[name] for part in self.done]) for name in self.done[0]}

    def save(self, stack: Stack | Lanes) -> None:
        assert self.progress is not None
        arrays = {f"unfinished/{name}": value for name, value in stack.arrays().items()}
        if self.done:
            arrays |= {f"done/{name}": value for name, value in self.results().items()}
        self.progress.save({"width": np.array(self.width), **arrays})
        self.saved_at = time.monotonic()


def _below(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _settled(task: Task, replicas: int, width: int) -> Task:
    """Choose what a task's runtime leaves open: ``width`` where there is one, else by timing."""
    runtime = task.runtime
    if width:
        runtime = replace(runtime, stack=width)
    if runtime.compile == "auto" and (width or task.device.type == "cpu"):
        runtime = replace(runtime, compile=None)
    if "auto" in (runtime.stack, runtime.compile):
        found = calibrate(replace(task, runtime=runtime), replicas)
        runtime = replace(runtime, stack=found.stack, compile=found.compile)
    return replace(task, runtime=runtime)


def _record(task: Task, seeds: Sequence[int], results: Arrays) -> Record:
    data = task.dataset
    train, test = (
        Signals(*(results[f"{side}_{name}"] for name in ("correct", *FLOAT_SIGNALS))) for side in SIDES
    )
    return Record(
        recipe=task.recipe.knobs,
        context=task.context,
        seeds=np.asarray(seeds, np.int64),
        members=results["members"],
        labels_train=data.y_train,
        labels_test=data.y_test,
        canaries=data.canaries,
        train=train,
        test=test,
        train_curvature=results.get("train_curvature"),
        **{name: results[name] for name in PER_REPLICA},
    )
