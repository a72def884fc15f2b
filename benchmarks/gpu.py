"""One CUDA GPU: this engine against plain PyTorch loops, as a share of the matrix peak, and replicas an hour.

    python benchmarks/gpu.py [--archive cifar10.npz] [--only resnet9] [--seconds 4] [--minutes 6]

Each line is printed as soon as it is measured, those that say most first; once the minutes are over, no
further line is begun.

- A network and an optimizer: images a second of training by a plain eager loop (autocast to bfloat16,
  channels_last, torch.optim.SGD, data and augmentation on the device), and by this engine with the stack and
  compiler that it chooses; the share of the bfloat16 matrix peak that the engine reaches; replicas an hour of
  the study's length, with the evaluation of all examples under two queries.
- ``trained``: a stack of replicas trained to the end, with evaluation: replicas an hour and test accuracy.
- ``digits``: all replicas of the shipped spec, trained in this process.
- ``compiled loop``: the plain loop, compiled.

Ratios are within one run of this script. Compiling and warming up do not count, but for ``digits``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from sweep import SweepSpec
from trainables.data.augmentation import Augmentation
from trainables.data.dataset import Dataset, load_dataset
from trainables.engine.calibration import calibrate
from trainables.engine.lanes import Lanes, make_stack
from trainables.engine.runtime import Runtime
from trainables.engine.stack import Stack
from trainables.engine.task import Task, make_task
from trainables.errors import UserError
from trainables.recipe import Recipe
from trainables.training import train_replicas

OPTIMIZERS: dict[str, dict[str, Any]] = {"sgd": {}, "sam": {"rho": 0.1}}
REPLICAS = 64  # of a recipe, as the studies train: what compiling must pay for


@dataclass(frozen=True)
class Case:
    """A network, and how it is trained."""

    model: str
    batch_size: int
    epochs: int
    optimizer: str = "sgd"

    def __str__(self) -> str:
        return f"{self.model}, {self.batch_size}, {self.optimizer}"


RESNET9, RESNET18 = Case("resnet9", 500, 40), Case("resnet18", 500, 30)
WRN = Case("wrn28-2", 125, 60)


def task_of(case: Case, dataset: Dataset, device: str) -> Task:
    """Return the case as a task, all choices left open."""
    schedule: dict[str, Any] = {"lr": 0.4, "nesterov": True, "warmup": 0.2, "schedule": "linear"}
    on_device: dict[str, Any] = {"augment": ("crop", "flip"), "precision": "bfloat16"}
    batch_size = min(case.batch_size, len(dataset.y_train) // 2)
    knobs = {"epochs": case.epochs, "batch_size": batch_size, **schedule, **on_device}
    recipe = Recipe(optimizer=case.optimizer, **OPTIMIZERS[case.optimizer], **knobs)
    return make_task(recipe, dataset, case.model, runtime=Runtime(device), queries=2)


def plain_step(task: Task, module: nn.Module, *, compiled: bool) -> Callable[[], None]:
    """Return a step of a plain loop on random batches."""
    model: Any = torch.compile(module) if compiled else module
    recipe, data, device = task.recipe, task.data, task.device
    decay = recipe.weight_decay
    optimizer = torch.optim.SGD(module.parameters(), recipe.lr, 0.9, weight_decay=decay, nesterov=True)
    augmentation = Augmentation.of(recipe.augment)

    def descend(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        loss.backward()

    def step() -> None:
        rows = torch.randint(len(data.y), (1, recipe.batch_size), device=device)
        x = augmentation.apply(data.rows(rows), torch.rand(1, recipe.batch_size, 5, device=device))[0]
        x, y = x.contiguous(memory_format=torch.channels_last), data.y[rows[0]]
        descend(x, y)
        if recipe.rho:
            parameters = list(module.parameters())
            grads = [p.grad for p in parameters if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(grads).clamp_min(1e-12)
            moves = torch._foreach_mul(grads, recipe.rho / norm)
            torch._foreach_add_(parameters, moves)
            descend(x, y)
            torch._foreach_sub_(parameters, moves)
        optimizer.step()

    return step


def plain(task: Task, seconds: float, *, compiled: bool) -> float:
    """Images a second of a plain loop."""
    module = task.module(0).to(task.device).to(memory_format=torch.channels_last).train()
    step = plain_step(task, module, compiled=compiled)
    return task.recipe.batch_size * rate(step, seconds, task.device)


def rate(step: Callable[[], Any], seconds: float, device: torch.device) -> float:
    """Measure steps a second, once warm."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(5):
        step()
    wait()
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for _ in range(10):
            step()
        wait()
        done += 10
    return done / (time.perf_counter() - begin)


def chosen_stack(task: Task) -> tuple[str, Stack | Lanes]:
    """Return what the engine chose in words, and its stack, compiled, captured and warm."""
    begin = time.perf_counter()
    found = calibrate(task, REPLICAS)
    runtime = replace(task.runtime, stack=found.stack, compile=found.compile)
    stack = make_stack(replace(task, runtime=runtime), range(found.stack))
    stack.train_epoch()
    how = f"{found.stack} at once, {'compiled' if found.compile else 'not compiled'}"
    return f"{how}, ready in {time.perf_counter() - begin:.0f} s", stack


def seconds_an_epoch(stack: Stack | Lanes, seconds: float) -> float:
    """Measure the whole stack."""
    epochs, begin = 0, time.perf_counter()
    while not epochs or (time.perf_counter() - begin < seconds and stack.epoch < stack.task.epochs):
        stack.train_epoch()
        epochs += 1
    return (time.perf_counter() - begin) / epochs


def flops_an_image(task: Task) -> float:
    """Multiplications and additions of an image, forward and backward, at one gradient evaluation."""
    module, x = task.module(0).to(task.device), torch.zeros(8, *task.data.shape, device=task.device)
    with FlopCounterMode(display=False) as counter:
        module(x).sum().backward()
    return counter.get_total_flops() / 8


def peak(device: torch.device) -> float:
    """bfloat16 operations a second of a large matrix product."""
    n = 8192 if device.type == "cuda" else 256
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16)
    return 2 * n**3 * rate(lambda: torch.mm(a, a), 1.0, device)


class Bench:
    """The lines of the table.

    Args:
        dataset: CIFAR-10, or as many of its images as are to be used.
        device: Where.
        seconds: Of each measurement.
    """

    def __init__(self, dataset: Dataset, device: str, seconds: float) -> None:
        self.dataset, self.device, self.seconds = dataset, device, seconds
        self.most = peak(torch.device(device))

    def network(self, case: Case, *, trained: bool = False) -> Iterator[str]:
        """Measure a network against the eager loop; ``trained``: to the end, too."""
        task = task_of(case, self.dataset, self.device)
        eager = plain(task, self.seconds, compiled=False)
        how, stack = chosen_stack(task)
        replicas, epoch = len(stack.seeds), seconds_an_epoch(stack, self.seconds)
        stack.results()
        begin = time.perf_counter()
        stack.results()
        evaluation = time.perf_counter() - begin
        images = replicas * task.size / epoch
        share = images * flops_an_image(task) * (1 + bool(task.recipe.rho)) / self.most
        hourly = 3600 * replicas / (task.epochs * epoch + evaluation)
        yield (
            f"{case}: eager loop {eager:,.0f} img/s, engine {images:,.0f} img/s, {images / eager:.2f} times, "
            f"{share:.0%} of the peak, evaluation {evaluation:.2f} s, {hourly:.0f} replicas/h ({how})"
        )
        if trained:
            yield f"{case}: {self.trained(stack)}"

    def trained(self, stack: Stack | Lanes) -> str:
        """Train as many replicas as train at once, from the first epoch to their signals."""
        begin = time.perf_counter()
        stack.reset([1000 + seed for seed in stack.seeds])
        while stack.epoch < stack.task.epochs:
            stack.train_epoch()
        accuracy = stack.results()["test_accuracy"].mean()
        hourly = 3600 * len(stack.seeds) / (time.perf_counter() - begin)
        return f"trained {stack.task.epochs} epochs, {hourly:.0f} replicas/h, test accuracy {accuracy:.2%}"

    def compiled_loop(self, case: Case) -> Iterator[str]:
        """Measure the plain loop, compiled."""
        task = task_of(case, self.dataset, self.device)
        yield f"{case}: compiled loop {plain(task, self.seconds, compiled=True):,.0f} img/s"

    def digits(self, replicas: int | None = None) -> Iterator[str]:
        """Time the training of the spec ``digits`` alone."""
        spec = SweepSpec.load("digits")
        begin, seeds = time.perf_counter(), range(replicas or spec.subsets.seeds)
        first = make_task(spec.recipes[0], "digits", spec.model, runtime=Runtime(self.device))
        stack = calibrate(first, len(seeds)).stack  # once, as a sweep does
        for recipe in spec.recipes:
            train_replicas(recipe, "digits", spec.model, seeds, device=self.device, stack=stack)
        took = time.perf_counter() - begin
        yield f"digits: {len(spec.recipes)} recipes of {len(seeds)} replicas in {took:.1f} s, {stack} at once"

    def lines(self, replicas: int | None) -> dict[str, Callable[[], Iterator[str]]]:
        """Return all lines by their names, those that say most first."""
        sam = {case: replace(case, optimizer="sam") for case in (RESNET9, RESNET18, WRN)}
        work: dict[str, Callable[[], Iterator[str]]] = {
            "resnet18": partial(self.network, RESNET18),
            "wrn28-2": partial(self.network, WRN),
            "resnet9": partial(self.network, RESNET9, trained=True),
            "digits": partial(self.digits, replicas),
            "resnet18 sam": partial(self.network, sam[RESNET18]),
            "resnet9 sam": partial(self.network, sam[RESNET9], trained=True),
        }
        loops = {f"{case.model} loop": partial(self.compiled_loop, case) for case in sam}
        return work | loops | {"wrn28-2 sam": partial(self.network, sam[WRN])}


def main() -> None:
    """Measure line after line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archive", help="an .npz of CIFAR-10; torchvision downloads it otherwise")
    parser.add_argument("--only", default="", help="only lines whose name contains this")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement (default 4)")
    parser.add_argument("--minutes", type=float, default=6, help="after which no line is begun (default 6)")
    parser.add_argument("--device", default="cuda", help="cpu: a rehearsal (default cuda)")
    parser.add_argument("--images", type=int, help="of CIFAR-10, and fewer replicas of digits: a rehearsal")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("benchmarks/gpu.py: torch finds no CUDA device here")
    begin = time.perf_counter()
    source: dict[str, Any] = (
        {"name": "npz", "path": options.archive} if options.archive else {"name": "cifar10"}
    )
    few = {"train_size": options.images, "test_size": options.images} if options.images else {}
    bench = Bench(load_dataset(source | few), options.device, options.seconds)
    device = torch.cuda.get_device_name() if options.device == "cuda" else "a CPU"
    print(f"{device}, torch {torch.__version__}, peak {bench.most / 1e12:.3g} TFLOP/s", flush=True)
    for name, work in bench.lines(2 if options.images else None).items():
        if options.only not in name:
            continue
        if time.perf_counter() - begin > 60 * options.minutes:
            print(f"{name}: left out, {options.minutes:g} minutes are over", flush=True)
            continue
        try:
            for line in work():
                print(f"{time.perf_counter() - begin:4.0f} s  {line}", flush=True)
        except (UserError, RuntimeError) as error:  # the other lines can still be had
            print(
                f"{time.perf_counter() - begin:4.0f} s  {name}: {type(error).__name__}: {error}", flush=True
            )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
