"""Replicas an hour on one CUDA GPU: SGD and SAM with a ResNet-18 on nearly all of CIFAR-10.

    python benchmarks/gpu.py [--archive cifar10.npz] [--replicas 4] [--epochs 30] [--stacks auto 1 2 4]
                             [--shares 1 0.5 0.25] [--compile none default reduce-overhead]

Replicas share a GPU in two ways: stacked in one process, and by several processes, as trials with
``resources: {gpu: 0.5}`` do. For each optimizer, stack, share and mode of torch.compile (reduce-overhead is
CUDA graphs): replicas an hour of the whole device, and the test accuracy that they buy, which is what a speed
is worth. Calibration and the first two epochs of a stack, which warm the device up, do not count. ``--device
cpu --size 64 --epochs 4`` tries the script without a GPU.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from itertools import product
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from trainables import Recipe, train_replicas
from trainables.data.dataset import load_dataset
from trainables.engine.calibration import fastest_stack
from trainables.engine.compilation import MODES
from trainables.engine.stack import make_task
from trainables.errors import UserError

OPTIMIZERS: dict[str, dict[str, Any]] = {"sgd": {}, "sam": {"rho": 0.1}}
NEARLY_ALL = {"scheme": "fraction", "fraction": 0.98}
WARM_UP = 2  # epochs


def recipe(optimizer: str, epochs: int) -> Recipe:
    training = {"batch_size": 512, "lr": 0.4, "nesterov": True, "warmup": 0.2, "schedule": "linear"}
    on_device = {"augment": ("crop", "flip"), "precision": "bfloat16"}
    return Recipe(optimizer=optimizer, epochs=epochs, **OPTIMIZERS[optimizer], **training, **on_device)


def measure(
    chosen: Recipe, source: dict[str, Any], replicas: int, options: dict[str, Any], start: Any
) -> tuple[float, float]:
    """Seconds a replica of steady training, and mean test accuracy, of one process among those that start
    together."""
    dataset = load_dataset(source)
    ends: list[float] = []

    def on_epoch(_: float, __: float) -> None:
        ends.append(time.perf_counter())

    options = {"subsets": NEARLY_ALL, "on_epoch": on_epoch, **options}
    start.wait()
    record = train_replicas(chosen, dataset, "resnet18", range(replicas), **options)
    steady = np.diff(ends).reshape(-1)[WARM_UP - 1 : chosen.epochs - 1]
    stacks = len(ends) // chosen.epochs
    return float(np.median(steady)) * chosen.epochs * stacks / replicas, float(record.test_accuracy.mean())


def fastest(chosen: Recipe, source: dict[str, Any], share: float, options: dict[str, Any]) -> int:
    return fastest_stack(make_task(chosen, source, "resnet18", NEARLY_ALL, **options), share).stack


def side_by_side(
    processes: int, chosen: Recipe, source: dict[str, Any], replicas: int, stack: str, options: dict[str, Any]
) -> tuple[int, float, float]:
    """The stack, replicas an hour of that many processes together, and their mean test accuracy."""
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, spawn.Pool(processes, maxtasksperchild=1) as pool:
        # Chosen once, in a process that then gives its memory back, and while no other trains.
        auto = stack == "auto"
        size = pool.apply(fastest, (chosen, source, 1 / processes, options)) if auto else int(stack)
        trained = (chosen, source, replicas, {**options, "stack": size}, manager.Barrier(processes))
        found = pool.starmap(measure, [trained] * processes, chunksize=1)
    hourly = sum(3600 / seconds for seconds, _ in found)
    return size, hourly, float(np.mean([accuracy for _, accuracy in found]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archive", help="an .npz of CIFAR-10; torchvision downloads it otherwise")
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--stacks", nargs="+", default=["auto", "1"])
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0], help="of the GPU, a process")
    parser.add_argument("--compile", nargs="+", choices=("none", *MODES), default=["none"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, help="training and test examples; default: all")
    options = parser.parse_args()
    source = {"name": "npz", "path": options.archive} if options.archive else {"name": "cifar10"}
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device {options.device!r}: torch finds no CUDA device here")
    source |= {"train_size": options.size, "test_size": options.size}
    load_dataset(source)  # once, lest all processes download it
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else options.device
    table = Table(
        "optimizer", "stack", "share", "compile", title=f"ResNet-18, {options.epochs} epochs, {name}"
    )
    for column in ("replicas an hour", "test accuracy %"):
        table.add_column(column, justify="right")
    ways = product(OPTIMIZERS, options.stacks, options.shares, options.compile)
    for optimizer, stack, share, mode in ways:
        training = {"device": options.device, "compile": None if mode == "none" else mode}
        chosen = recipe(optimizer, options.epochs)
        processes = round(1 / share)
        size, hourly, accuracy = side_by_side(processes, chosen, source, options.replicas, stack, training)
        named = f"{size} (auto)" if stack == "auto" else stack
        table.add_row(optimizer, named, f"{share:g}", mode, f"{hourly:.0f}", f"{100 * accuracy:.2f}")
    Console().print(table)


if __name__ == "__main__":
    try:
        main()
    except (UserError, RuntimeError) as error:
        sys.exit(f"error: {error}")
