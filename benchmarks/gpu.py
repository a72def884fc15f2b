"""One CUDA GPU: this engine against plain PyTorch loops, as a share of the matrix peak, and replicas an hour.

    python benchmarks/gpu.py [--archive cifar10.npz] [--case resnet9] [--seconds 10]

For each network and optimizer: images a second of training by a plain eager loop (autocast to bfloat16,
channels_last, torch.optim.SGD, data and augmentation on the device), the same loop compiled, and this engine
with the stack and compiler that it chooses; the share of the bfloat16 matrix peak that the engine reaches;
and replicas an hour of the study's length, with the evaluation of all examples under two queries. Ratios are
within one run of this script. Compiling and warming up do not count.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from trainables.data.augmentation import Augmentation
from trainables.data.dataset import Dataset, load_dataset
from trainables.engine.calibration import calibrate
from trainables.engine.lanes import make_stack
from trainables.engine.runtime import Runtime
from trainables.engine.task import Task, make_task
from trainables.errors import UserError
from trainables.recipe import Recipe

OPTIMIZERS: dict[str, dict[str, Any]] = {"sgd": {}, "sam": {"rho": 0.1}}
REPLICAS = 64  # of a recipe, as the studies train: what compiling must pay for


@dataclass(frozen=True)
class Case:
    """A network, and how it is trained."""

    model: str
    batch_size: int
    epochs: int


CASES = (Case("resnet9", 500, 40), Case("resnet18", 500, 30), Case("wrn28-2", 125, 60))


def task_of(case: Case, optimizer: str, dataset: Dataset) -> Task:
    """Return the case as a task on the GPU, all choices left open."""
    schedule: dict[str, Any] = {"lr": 0.4, "nesterov": True, "warmup": 0.2, "schedule": "linear"}
    on_device: dict[str, Any] = {"augment": ("crop", "flip"), "precision": "bfloat16"}
    knobs = {"epochs": case.epochs, "batch_size": case.batch_size, **schedule, **on_device}
    recipe = Recipe(optimizer=optimizer, **OPTIMIZERS[optimizer], **knobs)
    return make_task(recipe, dataset, case.model, runtime=Runtime("cuda"), queries=2)


def plain_step(task: Task, module: nn.Module, *, compiled: bool) -> Callable[[], None]:
    """Return a step of a plain loop on random batches."""
    model: Any = torch.compile(module) if compiled else module
    recipe, data = task.recipe, task.data
    decay = recipe.weight_decay
    optimizer = torch.optim.SGD(module.parameters(), recipe.lr, 0.9, weight_decay=decay, nesterov=True)
    augmentation = Augmentation.of(recipe.augment)

    def descend(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        loss.backward()

    def step() -> None:
        rows = torch.randint(len(data.y), (1, recipe.batch_size), device="cuda")
        x = augmentation.apply(data.rows(rows), torch.rand(1, recipe.batch_size, 5, device="cuda"))[0]
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
    module = task.module(0).cuda().to(memory_format=torch.channels_last).train()
    step = plain_step(task, module, compiled=compiled)
    return task.recipe.batch_size * rate(step, seconds)


def rate(step: Callable[[], None], seconds: float) -> float:
    """Measure steps a second, once warm."""
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for _ in range(10):
            step()
        torch.cuda.synchronize()
        done += 10
    return done / (time.perf_counter() - begin)


def engine(task: Task, seconds: float) -> tuple[str, float, float]:
    """Return what the engine chose, its images a second, and replicas an hour with evaluation."""
    chosen = calibrate(task, REPLICAS)
    runtime = replace(task.runtime, stack=chosen.stack, compile=chosen.compile)
    stack = make_stack(replace(task, runtime=runtime), range(chosen.stack))
    stack.train_epoch()
    epochs, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds and stack.epoch < task.epochs:
        stack.train_epoch()
        epochs += 1
    epoch = (time.perf_counter() - begin) / epochs
    stack.results()
    begin = time.perf_counter()
    stack.results()
    evaluation = time.perf_counter() - begin
    hourly = 3600 * chosen.stack / (task.epochs * epoch + evaluation)
    how = f"{chosen.stack} at once, {'compiled' if chosen.compile else 'not compiled'}"
    return how, chosen.stack * task.size / epoch, hourly


def flops_an_image(task: Task) -> float:
    """Multiplications and additions of an image, forward and backward, at one gradient evaluation."""
    module, x = task.module(0).cuda(), torch.zeros(8, *task.data.shape, device="cuda")
    with FlopCounterMode(display=False) as counter:
        module(x).sum().backward()
    return counter.get_total_flops() / 8


def peak() -> float:
    """bfloat16 operations a second of a large matrix product."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    return 2 * 8192**3 * rate(lambda: torch.mm(a, a), 1.0)  # type: ignore[arg-type, return-value]


def main() -> None:
    """Measures every case and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archive", help="an .npz of CIFAR-10; torchvision downloads it otherwise")
    parser.add_argument("--case", default="", help="only networks whose name contains this")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement (default 10)")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise UserError("benchmarks/gpu.py: torch finds no CUDA device here")
    dataset = load_dataset({"name": "npz", "path": options.archive} if options.archive else "cifar10")
    table = Table("network, batch", "optimizer", "engine", title=torch.cuda.get_device_name())
    for column in ("eager img/s", "compiled img/s", "engine img/s", "x eager", "of peak", "replicas/h"):
        table.add_column(column, justify="right")
    most = peak()
    for case in CASES:
        for optimizer in OPTIMIZERS if options.case in case.model else ():
            task = task_of(case, optimizer, dataset)
            eager, compiled = (plain(task, options.seconds, compiled=c) for c in (False, True))
            how, images, hourly = engine(task, options.seconds)
            share = images * flops_an_image(task) * (2 if optimizer == "sam" else 1) / most
            table.add_row(
                f"{case.model}, {case.batch_size}", optimizer, how, f"{eager:,.0f}", f"{compiled:,.0f}",
                f"{images:,.0f}", f"{images / eager:.2f}", f"{share:.0%}", f"{hourly:.0f}",
            )  # fmt: skip
    Console(width=140).print(table)


if __name__ == "__main__":
    try:
        main()
    except (UserError, RuntimeError) as error:
        sys.exit(f"error: {error}")
