"""Replicas an hour on one CUDA GPU: SGD and SAM with a ResNet-18 on nearly all of CIFAR-10.

    python benchmarks/gpu.py [--archive cifar10.npz] [--replicas 4] [--epochs 30] [--stacks auto 1 2 4]

For each optimizer and stack: seconds a replica, replicas an hour, and the test accuracy that they buy, which
is what a speed is worth. Calibration and the first two epochs of a stack, which warm the device up, do not
count. ``--device cpu --size 64 --epochs 4`` tries the script without a GPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from trainables import Recipe, train_replicas
from trainables.datasets import Dataset, load_dataset
from trainables.registry import UserError

OPTIMIZERS: dict[str, dict[str, Any]] = {"sgd": {}, "sam": {"rho": 0.1}}
NEARLY_ALL = {"scheme": "fraction", "fraction": 0.98}
WARM_UP = 2  # epochs


def recipe(optimizer: str, epochs: int) -> Recipe:
    training = {"batch_size": 512, "lr": 0.4, "nesterov": True, "warmup": 0.2, "schedule": "linear"}
    on_device = {"augment": ("crop", "flip"), "precision": "bfloat16"}
    return Recipe(optimizer=optimizer, epochs=epochs, **OPTIMIZERS[optimizer], **training, **on_device)


def measure(
    chosen: Recipe, dataset: Dataset, stack: int | str, replicas: int, device: str
) -> tuple[float, float]:
    """Seconds a replica of steady training, and mean test accuracy."""
    ends: list[float] = []

    def on_epoch(_: float, __: float) -> None:
        ends.append(time.perf_counter())

    seeds, options = range(replicas), {"subsets": NEARLY_ALL, "device": device}
    record = train_replicas(chosen, dataset, "resnet18", seeds, stack=stack, on_epoch=on_epoch, **options)
    steady = np.diff(ends).reshape(-1)[WARM_UP - 1 : chosen.epochs - 1]
    stacks = len(ends) // chosen.epochs
    return float(np.median(steady)) * chosen.epochs * stacks / replicas, float(record.test_accuracy.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archive", help="an .npz of CIFAR-10; torchvision downloads it otherwise")
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--stacks", nargs="+", default=["auto", "1"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, help="training and test examples; default: all")
    options = parser.parse_args()
    source = {"name": "npz", "path": options.archive} if options.archive else {"name": "cifar10"}
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device {options.device!r}: torch finds no CUDA device here")
    dataset = load_dataset({**source, "train_size": options.size, "test_size": options.size})
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else options.device
    table = Table("optimizer", "stack", title=f"ResNet-18, {options.epochs} epochs, {name}")
    for column in ("s a replica", "replicas an hour", "test accuracy %"):
        table.add_column(column, justify="right")
    for optimizer in OPTIMIZERS:
        for stack in options.stacks:
            width = stack if stack == "auto" else int(stack)
            chosen = recipe(optimizer, options.epochs)
            seconds, accuracy = measure(chosen, dataset, width, options.replicas, options.device)
            figures = (f"{seconds:.1f}", f"{3600 / seconds:.0f}", f"{100 * accuracy:.2f}")
            table.add_row(optimizer, stack, *figures)
    Console().print(table)


if __name__ == "__main__":
    try:
        main()
    except (UserError, RuntimeError) as error:
        sys.exit(f"error: {error}")
